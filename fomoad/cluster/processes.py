"""The ordered map in processes of this machine, without Dask."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TypeVar

from fomoad.cluster import kinds
from fomoad.cluster.kinds import Kind
from fomoad.errors import UserError
from fomoad.progress import track

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Processes:
    """Does so many tasks at a time, each in a process of its own."""

    workers: int

    @property
    def kind(self) -> Kind:
        """That of this process."""
        return kinds.mine()

    def map(
        self, function: Callable[[T], R], items: Sequence[T], what: str, lost: Callable[[T, str], R] | None = None
    ) -> Iterator[R]:
        """See fomoad.cluster.engine.Engine, but a process that ends takes all tasks with it: UserError."""
        with ProcessPoolExecutor(self.workers, multiprocessing.get_context("spawn")) as pool:
            try:
                yield from track(pool.map(function, items), what, len(items))
            except BrokenProcessPool as error:
                raise UserError(
                    f"{what}: a process ended, most likely because the memory was used up. Run the same command again, "
                    "with fewer --workers; what is done stays."
                ) from error
