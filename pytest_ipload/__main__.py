"""``python -m pytest_ipload``."""

import sys

from pytest_ipload.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
