"""Arguments: every wrong one is refused by name and changes nothing; odd but good ones work.

A package, so that its files may have the names of others in tests/.
"""

import pytest

pytest.register_assert_rewrite("arguments.helpers")
