"""Where the passes over all training images run: in this process, or on a cluster."""

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fomoad.cluster import kinds, shelf
from fomoad.cluster.engine import Engine
from fomoad.cluster.open import Cluster
from fomoad.cluster.shelf import Shelf
from fomoad.data.dataset import Images
from fomoad.errors import UserError
from fomoad.features.backbone_file import BackboneFile
from fomoad.features.shared import SharedFeatures
from fomoad.features.store import FeatureSource, Source
from fomoad.settings import TrainSettings
from fomoad.training.training_data import TrainingData


class Place(Protocol):
    """Where passes run."""

    def features(self, images: Images, backbone: BackboneFile) -> Source:
        """The features of images."""


@dataclass(frozen=True)
class Here:
    """In this process. Features that are too many for the memory (bytes) are stored in the work directory meanwhile."""

    memory_limit: int
    work_directory: Path | None

    def features(self, images: Images, backbone: BackboneFile) -> Source:
        """See Place."""
        return FeatureSource(images, backbone.load(), self.memory_limit, self.work_directory)


@dataclass(frozen=True)
class There:
    """On a cluster, by way of a shelf that all its machines see."""

    engine: Engine
    shelf: Shelf

    def features(self, images: Images, backbone: BackboneFile) -> Source:
        """See Place."""
        return SharedFeatures(images, backbone, self.engine, self.shelf)


def check(cluster: Cluster, shared_directory: Path | None) -> None:
    """Raise UserError where a training cannot use a cluster and a shared directory like that."""
    if cluster.address is None and shared_directory is not None:
        raise UserError("--shared-directory is for trainings on a cluster: give --cluster too, or leave it out.")
    if cluster.address is not None and not cluster.is_local and shared_directory is None:
        raise UserError(
            f"--cluster {cluster.address} needs --shared-directory: a folder that this machine and all workers see "
            "under the same path."
        )
    if shared_directory is not None and not shared_directory.is_dir():
        raise UserError(f"The shared directory {shared_directory} does not exist: give a folder that all machines see.")


def check_kind(engine: Engine) -> None:
    """Raise UserError where this machine is of another kind than the workers: it does parts of a training itself."""
    mine = kinds.mine()
    if engine.kind is not None and engine.kind != mine:
        raise UserError(
            f"This machine ({kinds.difference(mine, engine.kind)}) is of another kind than the workers "
            f"({kinds.difference(engine.kind, mine)}): models would not have the bytes of either. Start the training "
            "on a machine like the workers', or give that up with --allow-mixed-workers."
        )


@contextlib.contextmanager
def opened(
    engine: Engine,
    shared_directory: Path | None,
    work_directory: Path | None,
    settings: TrainSettings,
    data: TrainingData,
) -> Iterator[There]:
    """A place on a cluster, for these settings and these data. Without a shared directory, all workers are here."""
    about = [settings.model_dump(), repr(engine.kind), data.digest, data.split.ids, data.weights.sha256()]
    about.append(data.ignored.sha256 if data.ignored else "")
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    with contextlib.ExitStack() as stack:
        if shared_directory is None:
            made = tempfile.TemporaryDirectory(prefix="fomoad-", dir=work_directory)
            shared_directory = Path(stack.enter_context(made))
        yield There(engine, stack.enter_context(shelf.opened(shared_directory.resolve(), digest)))
