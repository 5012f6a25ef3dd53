"""The container's entrypoint: `python train.py ...` is `fomoad train ...`."""

import sys

from fomoad.cli import supervised_main

if __name__ == "__main__":
    sys.exit(supervised_main(["train", *sys.argv[1:]]))
