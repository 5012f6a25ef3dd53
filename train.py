"""The container's entrypoint: `python train.py ...` is `fomoad train ...`."""

import sys

from fomoad.cli import main
from fomoad.signals import supervise

if __name__ == "__main__":
    sys.exit(supervise(lambda: main(["train", *sys.argv[1:]])))
