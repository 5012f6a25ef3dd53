"""Self-tuning: what is tried, what is chosen, and what is written down."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fomoad.backbones.weights import Weights
from fomoad.data import dataset
from fomoad.features.extractor import extractor
from fomoad.metadata import AnomalyMetadata
from fomoad.settings import TrainSettings
from fomoad.training import fitters, recipes, tuning
from fomoad.training.fit_patchcore import PatchCoreFitter
from fomoad.training.models import build_features
from fomoad.training.recipes import Recipe
from fomoad.training.training_data import TrainingData
from fomoad.training.tuning import Trial, Widest
from tests.training.test_train import textures, train, write_data

SHAPE = (48, 48, 1)


def training_data(count: int, weights: Path, ids: list[str] | None = None) -> TrainingData:
    """Striped images, two of each sample where no ids are given."""
    ids = [str(row // 2) for row in range(count)] if ids is None else ids
    split = dataset.split_in_memory(textures(count, SHAPE, 0), "0..1", ids)
    assert split.images is not None
    return TrainingData(split, split.images, Weights("random", weights, "mobilenet-v2-0.35"))


def settings(**given: Any) -> TrainSettings:
    return TrainSettings(backbone="mobilenet-v2-0.35", capacity="low", **given)


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({"scoring_function": "patchcore"}, set(recipes.CANDIDATES)),
        ({"scoring_function": "patchcore", "layers": 1, "pool_size": 1, "feature_scaling": "auto"}, {
            Recipe(1, "place", 1), Recipe(1, "global", 1), Recipe(1, "none", 1),
        }),
        ({"scoring_function": "patchcore", "layers": 2, "pool_size": 2, "feature_scaling": "none"}, {
            Recipe(2, "none", 2),
        }),
        ({"scoring_function": "gmm", "layers": 3}, {
            Recipe(3, "place", 2), Recipe(3, "global", 2), Recipe(3, "none", 2),
        }),
    ],
)  # fmt: skip
def test_values_that_are_given_narrow_the_candidates(given: dict[str, Any], left: set[Recipe]) -> None:
    found = recipes.candidates(settings(**given), SHAPE)
    assert set(found) == left
    assert len(found) == len(left)
    assert found[0] == recipes.robust(settings(**given), SHAPE)
    large = recipes.candidates(settings(**given), (224, 320, 3))
    assert set(large) == {replace(recipe, pool_size=given.get("pool_size", 3)) for recipe in left}
    assert large[0] == recipes.robust(settings(**given), (224, 320, 3))


@pytest.mark.parametrize(("shape", "window"), [((191, 640, 3), 2), ((192, 192, 1), 3), ((640, 224, 3), 3)])
def test_large_images_have_larger_windows_where_no_size_is_given(shape: recipes.Shape, window: int) -> None:
    """The shorter side counts; fitter and features agree, and a size that is given stays."""
    asked = settings(scoring_function="patchcore")
    assert recipes.robust(asked, shape) == recipes.candidates(asked, shape)[0] == Recipe(3, "place", window)
    for each, expected in ((asked, window), (settings(scoring_function="patchcore", pool_size=1), 1)):
        fitter = fitters.fitter(each, shape)
        assert isinstance(fitter, PatchCoreFitter)
        assert recipes.robust(each, shape).pool_size == fitter.window == expected


@pytest.mark.parametrize(
    ("given", "count"),
    [({"tune": "off"}, 40), ({}, tuning.FEWEST_IMAGES - 1), ({"layers": 1, "feature_scaling": "none"}, 40)],
)
def test_nothing_is_tried_where_it_is_off_or_images_are_few_or_nothing_is_open(
    random_weights: Path, capsys: pytest.CaptureFixture[str], given: dict[str, Any], count: int
) -> None:
    """Then the settings are the given ones, and the most robust for the rest; few images are told of."""
    asked = settings(scoring_function="gmm", **given)
    found, record = tuning.tune(asked, training_data(count, random_weights))
    assert record is None
    assert found == recipes.with_recipe(asked, recipes.robust(asked, SHAPE))
    assert ("takes 30 images, there are 29" in capsys.readouterr().out) == (count < 30)


@pytest.mark.parametrize("scorer", ["gmm", "patchcore"])
def test_the_choice_follows_the_figures_and_is_the_same_again(random_weights: Path, scorer: str) -> None:
    asked = settings(scoring_function=scorer, layers=3, pool_size=2, sampling_ratio=0.02)
    data = training_data(32, random_weights)
    found, record = tuning.tune(asked, data)
    assert record is not None
    figures = [each.auroc for each in record.tried]
    assert len(set(figures)) > 1
    [chosen] = [each for each in record.tried if each.chosen]
    assert chosen == record.tried[tuning.choose(figures)]
    assert (found.layers, found.feature_scaling) == (chosen.layers, chosen.feature_scaling)
    assert chosen.pool_size == (found.pool_size if scorer == "patchcore" else None)
    assert (record.images, record.margin) == (32, tuning.MARGIN)
    assert 0 < record.defects <= 64
    assert tuning.tune(asked, data) == (found, record)


def test_a_recipe_s_features_are_those_that_a_training_computes(random_weights: Path) -> None:
    """Taken from those of all candidates: fewer layers, and windows."""
    data = training_data(3, random_weights)
    asked = settings(scoring_function="patchcore")
    widest = Widest.of(asked, data, list(recipes.CANDIDATES))
    images = data.images.rows(slice(0, 3))
    every = widest.extract(images)
    for recipe in (Recipe(1, "none", 1), Recipe(2, "place", 2), Recipe(3, "place", 3)):
        features = build_features(recipes.with_recipe(asked, recipe), data.images, data.weights)
        np.testing.assert_allclose(widest.take(recipe, every), extractor(features)(images), atol=1e-4)


def test_images_of_one_sample_are_held_out_together(random_weights: Path) -> None:
    """Else copies of a good image would find it perfectly usual, and every made defect would be told from it."""
    single = textures(10, SHAPE, 0)
    copies = single.repeat(4, axis=0)
    figures = []
    for ids in ([str(row // 4) for row in range(40)], [str(row) for row in range(40)]):
        split = dataset.split_in_memory(copies, "0..1", ids)
        assert split.images is not None
        data = TrainingData(split, split.images, Weights("random", random_weights, "mobilenet-v2-0.35"))
        trial = Trial.of(settings(scoring_function="patchcore", sampling_ratio=1), data, [recipes.ROBUST], None)
        assert trial is not None
        figures.append(trial.judge(recipes.ROBUST))
    together, apart = figures
    assert apart > 0.99
    assert together < 0.95


def test_metadata_say_what_was_tried(tmp_path: Path, random_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And a training that is repeated from them has nothing left to try."""
    data = write_data(tmp_path / "data", textures(30, SHAPE, 0))
    arguments = ["--weights", str(random_weights), "--capacity=low", "--layers=1"]
    assert train(data, tmp_path / "out", *arguments) == 0
    said = capsys.readouterr().out
    metadata = AnomalyMetadata.model_validate_json((tmp_path / "out" / "anomaly_metadata.json").read_bytes())
    assert metadata.tuning is not None
    assert [each.feature_scaling for each in metadata.tuning.tried] == ["place", "global", "none"]
    for each in metadata.tuning.tried:
        assert f"feature scaling {each.feature_scaling}" in said
        assert f"AUROC of {each.auroc:.3f}" in said
    [chosen] = [each for each in metadata.tuning.tried if each.chosen]
    assert metadata.settings["feature_scaling"] == chosen.feature_scaling
    assert metadata.settings["layers"] == 1
    assert f"{chosen.auroc:.3f}" in metadata.tuning.sentence()
    repeated = TrainSettings(**metadata.settings)
    assert recipes.candidates(repeated, SHAPE) == [recipes.robust(repeated, SHAPE)]
