"""How well score grids outline the defects: AUROC over pixels, and AUPRO, where test images have masks."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fomoad.geometry import CellGeometry
from fomoad.metrics.image_metrics import area_under

HIGHEST_FALSE_POSITIVE_RATE = 0.3
"""Where AUPRO's integral ends (Bergmann et al. 2021, "The MVTec Anomaly Detection Dataset", section 5.3)."""

MOST_EDGES = 2**14
"""Scores are counted in bins between quantiles, so that any number of images fits into memory. With this many
bins the areas are exact to about 1e-4."""

EIGHT_NEIGHBOURS = np.ones((3, 3), int)
"""Diagonal neighbours belong to one region, as in the authors' evaluation code."""


@dataclass
class PixelCounts:
    """Counts of pixels by score. Bin b holds scores in [edges[b - 1], edges[b]).

    Pixels whose nearest cell is not `counted` (rows, columns) do not count either; None: all do.
    """

    edges: NDArray[np.float32]
    cells: CellGeometry
    counted: NDArray[np.bool_] | None = None
    normal: NDArray[np.float64] = field(init=False)
    defect: NDArray[np.float64] = field(init=False)
    overlap: NDArray[np.float64] = field(init=False)
    """Defect pixels, each counted as 1 / (size of its region)."""
    regions: int = 0

    def __post_init__(self) -> None:
        self.normal, self.defect, self.overlap = (np.zeros(len(self.edges) + 1) for _ in range(3))

    def add(self, grid: NDArray[np.float32], mask: NDArray[np.generic]) -> None:
        """Count one image. grid (rows, columns), mask (height, width), not 0 where the defect is."""
        height, width = mask.shape
        labels = ndimage.label(mask, EIGHT_NEIGHBOURS)[0]
        if self.counted is None:
            scores, labels = self.cells.upsample(grid, height, width).ravel(), labels.ravel()
        else:
            kept = self.cells.at_pixels(self.counted, height, width)
            # Means of the cells that count alone: an ignored neighbour's 0 is no score.
            totals = self.cells.upsample(grid * self.counted, height, width)
            weights = self.cells.upsample(self.counted.astype(np.float32), height, width)
            scores, labels = totals[kept] / weights[kept], labels[kept]
        bins = np.searchsorted(self.edges, scores, side="right")
        inside = labels > 0
        sizes = np.bincount(labels)
        self.normal += np.bincount(bins[~inside], minlength=len(self.normal))
        self.defect += np.bincount(bins[inside], minlength=len(self.defect))
        self.overlap += np.bincount(bins[inside], 1 / sizes[labels[inside]], minlength=len(self.overlap))
        self.regions += int((sizes[1:] > 0).sum())

    def auroc(self) -> float:
        """Area under the ROC curve over all pixels. Needs pixels of both kinds."""
        return area_under(_share_at_or_above(self.normal), _share_at_or_above(self.defect))

    def aupro(self) -> float:
        """Area under the per-region overlap against the false positive rate, up to a rate of 0.3, divided by it.

        Bergmann et al. 2021, equation 2: the overlap of one threshold is the mean over all connected regions of
        the share of their pixels that is flagged.
        """
        return _aupro(self.normal, self.overlap, self.regions)


def count_pixels(
    grids: NDArray[np.float32],
    masks: Iterable[NDArray[np.generic]],
    cells: CellGeometry,
    counted: NDArray[np.bool_] | None = None,
) -> PixelCounts:
    """Count all images. grids (N, rows, columns), masks N times (height, width), not 0 where the defect is.

    `cells` says where on the masks the grids' cells lie, `counted` (rows, columns) which of them count.
    """
    counts = PixelCounts(_edges(grids), cells, counted)
    for grid, mask in zip(grids, masks, strict=True):
        counts.add(grid, mask)
    return counts


def aupro_without(
    grids: NDArray[np.float32],
    masks: Iterable[NDArray[np.generic]],
    cells: CellGeometry,
    groups: NDArray[np.int64],
    count: int,
) -> list[float]:
    """AUPRO of all images but those of each group; 0 where no defect is left. `groups` (N,) are below `count`."""
    of_groups = [PixelCounts(_edges(grids), cells) for _ in range(count)]
    for grid, mask, group in zip(grids, masks, groups, strict=True):
        of_groups[group].add(grid, mask)
    normal, overlap = (sum(getattr(each, name) for each in of_groups) for name in ("normal", "overlap"))
    regions = sum(each.regions for each in of_groups)
    return [
        _aupro(normal - each.normal, overlap - each.overlap, regions - each.regions) if regions > each.regions else 0.0
        for each in of_groups
    ]


def _edges(grids: NDArray[np.float32]) -> NDArray[np.float32]:
    ranks = np.linspace(0, grids.size - 1, min(grids.size, MOST_EDGES)).astype(np.int64)
    edges: NDArray[np.float32] = np.unique(np.sort(grids, axis=None)[ranks])
    return edges


def _aupro(normal: NDArray[np.float64], overlap: NDArray[np.float64], regions: int) -> float:
    share = np.cumsum(overlap[::-1]) / regions
    return area_under(_share_at_or_above(normal), share, until=HIGHEST_FALSE_POSITIVE_RATE)


def _share_at_or_above(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    from_top = np.cumsum(counts[::-1])
    share: NDArray[np.float64] = from_top / from_top[-1]
    return share
