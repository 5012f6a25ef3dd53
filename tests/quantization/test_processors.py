"""What int8 models are made of does not depend on how many processors there are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import hashlib, os, sys
os.sched_setaffinity(0, [int(number) for number in sys.argv[2:]])
import numpy as np
from pathlib import Path
from fomoad.backbones import load
from fomoad.backbones.weights import Weights
from fomoad.quantization import calibration, equalization
name, side = "mobilenet-v2-0.35", 150
layers = load.ARCHITECTURES[name].layers[:2]
network = load.load(name, Weights("random", Path(sys.argv[1]), name), (side, side, 3), "0..1", layers)
images = np.random.default_rng(0).random((20, side, side, 3), np.float32)
equal = equalization.equalise(network, images)
ranges = calibration.calibrate(equal, images, (0.0, 1.0))
total = hashlib.sha256(repr(sorted(ranges.items())).encode())
for node in calibration.correct_biases(equal, ranges, images).nodes:
    for array in (getattr(node, "kernel", None), getattr(node, "bias", None)):
        total.update(b"" if array is None else array.tobytes())
print(total.hexdigest())
"""


def test_one_processor_and_all_of_them_give_the_same_network(random_weights: Path) -> None:
    """Images so large that TensorFlow cuts a convolution's sums by its threads."""
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is one processor only")
    every = sorted(os.sched_getaffinity(0))
    environment = {name: value for name, value in os.environ.items() if name != "TF_NUM_INTRAOP_THREADS"}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(random_weights), *map(str, some)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        for some in (every[:1], every)
    ]
    one, all_ = (process.communicate()[0] for process in running)
    assert len(one) > 60
    assert one == all_
