"""An open learning block for visual anomaly detection: good images in, small models and a threshold out."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fomoad.api.detector import AnomalyDetector, load
    from fomoad.api.prediction import Box, Prediction
    from fomoad.errors import NotFittedError, UserError

__version__ = "0.1.0"
__all__ = ["AnomalyDetector", "Box", "NotFittedError", "Prediction", "UserError", "__version__", "load"]

_HOMES: Final = {
    "AnomalyDetector": "api.detector",
    "load": "api.detector",
    "Box": "api.prediction",
    "Prediction": "api.prediction",
    "NotFittedError": "errors",
    "UserError": "errors",
}
"""Where each public name is defined. It is imported when it is first used, so that `import fomoad` takes no time."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fomoad' has no attribute {name!r}")
    return getattr(import_module(f"fomoad.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
