"""What several test modules share."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real weights and images that lies beside some checkouts."""
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared with real weights and images is not here")
    return SHARED
