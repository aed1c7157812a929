"""``python -m fcnn``: the command line."""

import sys

from fcnn.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
