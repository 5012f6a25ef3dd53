"""TensorFlow, imported without Keras and with a number of threads that results do not depend on.

TensorFlow imports Keras so that Keras' optimisers are known in SavedModels, which takes as long as half of TensorFlow.
Nothing here trains by them. `tf.keras` is still there for a program that asks for it: it is imported then.
"""

import contextlib
import os
from collections.abc import Iterator
from importlib.util import find_spec

__all__ = ["tf"]

THREADS = 2
"""Threads of a TensorFlow operation, on any machine: convolutions cut their sums by them, and int8 ranges follow."""
_LEGACY = "TF_USE_LEGACY_KERAS"
"""TensorFlow then imports Keras 2, the package tf_keras, and goes on where there is none."""


@contextlib.contextmanager
def _without_keras() -> Iterator[None]:
    before = os.environ.get(_LEGACY)
    if find_spec("tf_keras") is None:
        os.environ[_LEGACY] = "1"
    try:
        yield
    finally:
        os.environ.pop(_LEGACY, None)
        if before is not None:
            os.environ[_LEGACY] = before


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # in a notebook, its notes would drown what a cell prints
with _without_keras():
    import tensorflow as tf

with contextlib.suppress(RuntimeError):  # a program that uses TensorFlow itself has fixed them already
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
