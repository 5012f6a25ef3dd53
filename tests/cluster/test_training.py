"""One training on a cluster: the bytes of a training in one process, whatever happens to workers and driver."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fomoad import cli
from fomoad.backbones.weights import Weights
from fomoad.cluster import kinds, values
from fomoad.cluster.engine import Engine, Here
from fomoad.cluster.kinds import Kind
from fomoad.cluster.open import Cluster
from fomoad.cluster.shelf import Shelf
from fomoad.data import dataset
from fomoad.data.npy_file import open_array
from fomoad.errors import UserError
from fomoad.features.backbone_file import BackboneFile
from fomoad.features.shared import SharedFeatures
from fomoad.features.store import FeatureSource, Source
from fomoad.inference.model import load_model
from fomoad.metadata import AnomalyMetadata
from fomoad.training import places
from fomoad.training.fit_gmm import GmmFitter
from fomoad.training.fit_patchcore import Gather, PatchCoreFit, PatchCoreFitter
from fomoad.training.looking import look_at, look_together
from tests.training.test_train import textures, write_data

on_dask = pytest.importorskip("fomoad.cluster.on_dask")

IMAGES = 44
SIDE = 32
IDS = [str(row // 2) for row in range(IMAGES)]
FITTER = PatchCoreFitter(sampling_ratio=0.05, k=1, window=2, scale="place", memory_limit=400_000, seed=1)
"""Its selection holds 260 of 396 patches and more: it reads them three times."""


@pytest.fixture(scope="module")
def small_batches() -> Iterator[None]:
    """Images are read two at a time, so that there are 3 shards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "BATCH_BYTES", 2 * 4 * SIDE * SIDE)
        yield


@pytest.fixture(scope="module")
def data(small_batches: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory."""
    return write_data(tmp_path_factory.mktemp("images") / "data", textures(IMAGES, (SIDE, SIDE, 1), 0))


def opened(path: Path) -> dataset.Images:
    """The images in a file."""
    array = open_array(path)
    assert array is not None
    return dataset.Images(array, (SIDE, SIDE, 1), "0..1")


@pytest.fixture(scope="module")
def images(data: Path) -> dataset.Images:
    """Its images."""
    return opened(data / "X_split_train.npy")


@pytest.fixture(scope="module")
def backbone(random_weights: Path) -> BackboneFile:
    """A compiled backbone."""
    from fomoad.backbones import load
    from fomoad.backbones.architectures import ARCHITECTURES
    from fomoad.features.extractor import compiled
    from fomoad.features.pooling import Features, Pooling

    name = "mobilenet-v2-0.35"
    architecture = ARCHITECTURES[name]
    weights = Weights("random", random_weights, name)
    network = load.load(name, weights, (SIDE, SIDE, 1), "0..1", architecture.layers[:1])
    return compiled(Features(network, architecture.grid_layer, Pooling(2)))


@pytest.fixture(scope="module")
def expected(images: dataset.Images, backbone: BackboneFile) -> PatchCoreFit:
    """The fit in this process."""
    return FITTER.fit(FeatureSource(images, backbone.load(), 2**24), IDS)


@pytest.fixture(scope="module")
def workers() -> Iterator[Any]:
    """Three processes on this machine."""
    with Cluster("local:3").open() as engine:
        yield engine


def same(fit: PatchCoreFit, expected: PatchCoreFit) -> None:
    """Hold a fit to another, bit by bit."""
    assert fit.patches.tolist() == expected.patches.tolist()
    assert fit.scorer.bank.tobytes() == expected.scorer.bank.tobytes()
    assert fit.held_out_scores.tobytes() == expected.held_out_scores.tobytes()


@dataclass
class Counting:
    """An engine that counts what it does, and breaks off after so many tasks."""

    most: int = 10**9
    done: list[str] = field(default_factory=list)
    kind: Kind | None = None

    def map(self, function: Callable[[Any], Any], items: Sequence[Any], what: str, lost: Any = None) -> Iterator[Any]:
        """See Engine."""
        for item in items:
            if len(self.done) == self.most:
                raise KeyboardInterrupt
            yield function(item)
            self.done.append(item.result)


def test_a_driver_that_was_killed_goes_on_where_it_was(
    images: dataset.Images, backbone: BackboneFile, expected: PatchCoreFit, tmp_path: Path
) -> None:
    """Broken off in each pass, the next run does only what is not there, and the fit is that of one process."""
    whole = Counting()
    same(FITTER.fit(SharedFeatures(images, backbone, whole, Shelf(tmp_path)), IDS), expected)
    assert len(whole.done) == len(set(whole.done)) == 6 * 3  # draw, three readings, gather, score
    for most in (2, 7, 16):
        folder = tmp_path / str(most)
        folder.mkdir()
        with pytest.raises(KeyboardInterrupt):
            FITTER.fit(SharedFeatures(images, backbone, Counting(most), Shelf(folder)), IDS)
        rest = Counting()
        same(FITTER.fit(SharedFeatures(images, backbone, rest, Shelf(folder)), IDS), expected)
        assert rest.done == whole.done[most:]


def test_a_killed_worker_changes_nothing(
    images: dataset.Images, backbone: BackboneFile, expected: PatchCoreFit, workers: Any, tmp_path: Path
) -> None:
    """One of three, in the middle of the fit."""
    victim = next(iter(workers.client.run(os.getpid).values()))

    def kill() -> None:
        while len(list(tmp_path.iterdir())) < 7:
            time.sleep(0.01)
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    same(FITTER.fit(SharedFeatures(images, backbone, workers, Shelf(tmp_path)), IDS), expected)
    killer.join()
    assert victim not in workers.client.run(os.getpid).values()


def test_images_that_were_left_out_are_not_read(
    images: dataset.Images, backbone: BackboneFile, workers: Engine, tmp_path: Path
) -> None:
    """As where a training takes some for defects, twice."""
    split = dataset.Split(images, [None] * IMAGES, IDS, [None] * IMAGES, None)
    split = split.without(np.array([3, 17])).without(np.array([5]))
    assert split.images is not None
    fits = []
    for source in (
        FeatureSource(split.images, backbone.load(), 2**24),
        SharedFeatures(split.images, backbone, workers, Shelf(tmp_path)),
    ):
        some: Source = source
        fits.append(FITTER.fit(some, split.ids))
    same(fits[1], fits[0])


def test_the_first_look_finds_the_same(data: Path, images: dataset.Images, workers: Engine, tmp_path: Path) -> None:
    """Lowest and highest value, thumbnails, and NaN; one other pixel is another digest."""
    here, there = look_at(images), look_together(images, workers)
    assert (here.lowest, here.highest) == (there.lowest, there.highest)
    np.testing.assert_array_equal(np.stack(here.thumbnails), np.stack(there.thumbnails))
    assert look_together(images, Here()).digest == there.digest
    pixels = np.load(data / "X_split_train.npy")
    pixels[40, 3, 3, 0] = 0.5
    np.save(tmp_path / "other.npy", pixels)
    other = opened(tmp_path / "other.npy")
    assert look_together(other, Here()).digest != there.digest
    pixels[40, 3, 3, 0] = np.nan
    np.save(tmp_path / "other.npy", pixels)
    other = opened(tmp_path / "other.npy")
    with pytest.raises(UserError, match="NaN or infinity in row 40"):
        look_together(other, workers)


def test_a_mixture_is_the_same(images: dataset.Images, backbone: BackboneFile, workers: Engine, tmp_path: Path) -> None:
    fitter = GmmFitter(components=8, scale="place", seed=1)
    here = fitter.fit(FeatureSource(images, backbone.load(), 2**24), IDS)
    there = fitter.fit(SharedFeatures(images, backbone, workers, Shelf(tmp_path)), IDS)
    assert values.pack(there.held_out) == values.pack(here.held_out)
    assert there.held_out_scores.tobytes() == here.held_out_scores.tobytes()


@pytest.mark.no_cover
def test_all_files_have_the_bytes_of_a_training_in_one_process(
    data: Path, random_weights: Path, tmp_path: Path
) -> None:
    """By the command, whose shared directory is empty afterwards; with a mask, whose cells are 0 in every file."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[: SIDE // 2, SIDE // 2 :] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    arguments = ["train", "--data-directory", str(data), "--weights", str(random_weights), "--tune=off"]
    arguments += ["--scoring-function=patchcore", "--ignore-mask", str(tmp_path / "mask.png")]
    assert cli.main([*arguments, "--out-directory", str(tmp_path / "here")]) == 0
    (tmp_path / "shared").mkdir()
    cluster = ["--cluster=local:2", "--shared-directory", str(tmp_path / "shared")]
    assert cli.main([*arguments, "--out-directory", str(tmp_path / "there"), *cluster]) == 0
    assert not list((tmp_path / "shared").iterdir())
    names = {path.name for path in (tmp_path / "here").iterdir()}
    assert names == {path.name for path in (tmp_path / "there").iterdir()}
    for name in names:
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes(), name
    metadata = AnomalyMetadata.model_validate_json((tmp_path / "there" / "anomaly_metadata.json").read_bytes())
    counted = metadata.grid.counted()
    assert counted is not None
    noise = np.random.default_rng(0).uniform(0, 1, (2, SIDE, SIDE, 1)).astype(np.float32)
    for name in metadata.models:
        grids = load_model(tmp_path / "there" / name, True).score(noise)
        assert not grids[:, ~counted].any()
        assert grids[:, counted].all()


def test_data_that_a_worker_does_not_see_are_named(backbone: BackboneFile, tmp_path: Path) -> None:
    """Also where another file is in their place."""
    pixels = np.zeros((4, SIDE, SIDE, 1), np.float32)
    np.save(tmp_path / "X.npy", pixels)
    (tmp_path / "shelf").mkdir()
    source = SharedFeatures(opened(tmp_path / "X.npy"), backbone, Here(), Shelf(tmp_path / "shelf"))
    np.save(tmp_path / "X.npy", pixels[:3])
    with pytest.raises(UserError, match=r"X\.npy is not to be seen on .*, or is another file there"):
        list(source.map(Gather(np.array([0]), 9), "Reading features"))


@pytest.mark.parametrize(
    ("address", "shared", "message"),
    [
        ("tcp://127.0.0.1:1", None, "needs --shared-directory"),
        (None, ".", "is for trainings on a cluster"),
        ("local:2", "nowhere", "does not exist"),
    ],
)
def test_what_does_not_go_together(address: str | None, shared: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        places.check(Cluster(address), (shared and Path(shared)) or None)


def test_a_driver_of_another_kind_is_refused() -> None:
    other = Kind("another processor", kinds.mine().versions)
    with pytest.raises(UserError, match=r"another kind than the workers.*--allow-mixed-workers"):
        places.check_kind(Counting(kind=other))
    places.check_kind(Counting(kind=None))
    places.check_kind(Here())
