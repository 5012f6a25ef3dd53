"""Which packages of others an installation has, and which extra brings those that are missing."""

from importlib.util import find_spec
from typing import Final

from fomoad.errors import UserError

BASE: Final = ("numpy", "scipy", "PIL", "ai_edge_litert", "pydantic", "jinja2", "tqdm")
"""What every installation has."""
EXTRAS: Final = {
    "train": ("tensorflow", "h5py", "threadpoolctl", "onnx", "tf2onnx"),
    "onnx": ("onnxruntime",),
    "search": ("optuna", "sqlalchemy", "psycopg"),
    "mlflow": ("mlflow",),
    "cluster": ("dask", "distributed"),
    "sign": ("cryptography",),
}
"""By extra: the modules that it brings. pyproject.toml names the packages, and a test compares the two."""


def missing(extra: str) -> list[str]:
    """The modules of an extra that are not installed."""
    return [module for module in EXTRAS[extra] if find_spec(module) is None]


def require(extra: str, what: str) -> None:
    """Raise UserError where `what` cannot be done because an extra is not installed."""
    absent = missing(extra)
    if absent:
        raise UserError(
            f"{what} needs packages that are not installed ({', '.join(absent)}): pip install 'fomoad[{extra}]'."
        )
