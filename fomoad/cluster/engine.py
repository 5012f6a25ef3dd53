"""The contract of an engine: an ordered map. Another engine is one more file that keeps it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from fomoad.cluster import kinds
from fomoad.cluster.kinds import Kind
from fomoad.progress import track

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """What runs tasks."""

    @property
    def kind(self) -> Kind | None:
        """The kind of all that do tasks; None where they may differ."""

    def map(
        self, function: Callable[[T], R], items: Sequence[T], what: str, lost: Callable[[T, str], R] | None = None
    ) -> Iterator[R]:
        """Yield `function(item)` of each item, in the order of the items, showing progress under the name `what`.

        The function is one of fomoad's that workers can import, items and results are small and can be pickled. A
        task whose worker ends is done again. `lost(item, reason)` stands for the result of one that ends every worker
        that it is given to.

        Raises what the function raises; UserError where the cluster goes away, or a task is lost and `lost` is None.

        >>> list(Here().map(abs, [-2, 1], "Example"))
        [2, 1]
        """


class Here:
    """Does one task after the other in this process."""

    @property
    def kind(self) -> Kind:
        """That of this process."""
        return kinds.mine()

    def map(
        self, function: Callable[[T], R], items: Sequence[T], what: str, lost: Callable[[T, str], R] | None = None
    ) -> Iterator[R]:
        """See Engine. Nothing is lost here."""
        yield from track(map(function, items), what, len(items))
