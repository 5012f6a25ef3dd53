"""Judging a candidate on shared features."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("optuna", reason="the search's extra is not installed: pip install fomoad[search]")

from fomoad.backbones.weights import find_weights
from fomoad.data.samples import generate
from fomoad.features.extractor import extractor
from fomoad.search.cache import Cache
from fomoad.search.judge import Budget, Judge
from fomoad.search.parts import Parts, open_parts
from fomoad.settings import TrainSettings
from fomoad.training.int8 import round_network
from fomoad.training.models import build_features


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    folder = tmp_path_factory.mktemp("judge")
    generate.run(folder / "data", size=64, train=12, test_normal=4, test_anomaly=4)
    return open_parts(folder / "data", "0..1", 1, folder)


@pytest.mark.parametrize(
    "settings",
    [
        TrainSettings(scoring_function="gmm", layers=2),
        TrainSettings(scoring_function="patchcore", layers=3, pool_size=3),
        TrainSettings(scoring_function="patchcore", layers=1, pool_size=2),
    ],
    ids=["gmm", "three layers", "one layer"],
)
def test_shared_features_are_those_of_a_training(
    settings: TrainSettings, parts: Parts, tmp_path: Path, random_weights: Path
) -> None:
    """As a training rounds and extracts them for these settings alone."""
    settings = settings.model_copy(update={"weights": str(random_weights), "backbone": "mobilenet-v2-0.35"})
    shared = Judge(parts, Cache(tmp_path, 2**30), "digest", "auroc", Budget()).features(settings)
    found = find_weights(settings.backbone, settings.weights, settings.weights_resolution, settings.target_device)
    own, ranges = round_network(settings, parts.images, build_features(settings, parts.images, found))
    expected = extractor(own, ranges)(parts.images.rows(np.arange(len(parts.images))))
    np.testing.assert_allclose(shared, expected, rtol=1e-5, atol=1e-5)
