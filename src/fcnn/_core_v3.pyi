from fcnn._core import *  # noqa: F403
