"""`python -m fomoad ...` is `fomoad ...`."""

import sys

from fomoad.cli import main

if __name__ == "__main__":
    sys.exit(main())
