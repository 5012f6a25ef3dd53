"""`python -m fomoad ...` is `fomoad ...`."""

import sys

from fomoad.cli import supervised_main

if __name__ == "__main__":
    sys.exit(supervised_main())
