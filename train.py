"""The container's entrypoint: `python train.py ...` is `fomoad train ...`."""

import sys

from fomoad.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
