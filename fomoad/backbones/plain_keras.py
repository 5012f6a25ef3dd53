"""Keras as the block needs it, whatever the surroundings set.

KERAS_BACKEND, keras.json and a program's own calls may ask for another backend, the order channels first or half
precision. Any of those would break a training or change its models.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from fomoad.errors import UserError

BACKEND: Final = "tensorflow"
VARIABLE: Final = "KERAS_BACKEND"


@contextmanager
def plain_keras() -> Iterator[Any]:
    """Give Keras on TensorFlow, with float32 and channels last; what was set before is set again at the end.

    Raises UserError where this process has loaded Keras with another backend already.
    """
    keras = _load()
    config = keras.config
    before = config.floatx(), config.image_data_format(), config.dtype_policy()
    config.set_floatx("float32")
    config.set_image_data_format("channels_last")
    config.set_dtype_policy("float32")
    try:
        yield keras
    finally:
        config.set_floatx(before[0])
        config.set_image_data_format(before[1])
        config.set_dtype_policy(before[2])


def _load() -> Any:
    """Import Keras. It reads its backend from the environment, which is afterwards as it was."""
    loaded = "keras" in sys.modules
    given = os.environ.get(VARIABLE)
    if not loaded:
        os.environ[VARIABLE] = BACKEND
    try:
        import keras
    finally:
        if given is not None:
            os.environ[VARIABLE] = given
        elif not loaded:
            del os.environ[VARIABLE]
    found = keras.config.backend()
    if found != BACKEND:
        raise UserError(
            f"Keras runs on {found} in this process, but the backbone needs TensorFlow: set KERAS_BACKEND=tensorflow "
            "before anything imports Keras."
        )
    return keras
