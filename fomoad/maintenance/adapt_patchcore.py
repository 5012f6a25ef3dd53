"""A memory bank that takes in new normal patches and keeps its size."""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomoad.scorers.patchcore import PatchCoreScorer
from fomoad.training.state import KeptFit, TrainingState

Array = NDArray[np.float32]
Indices = NDArray[np.int64]

ROWS: Final = 512
"""Rows that distances are computed for at a time."""
TAIL: Final = 20
"""The bank's coverage radius is the median distance of its last 1/20 entries to those before them."""
MOST_NEW: Final = 1 / 2
"""Share of a bank that new patches take at most."""


def adapt(state: TrainingState, features: Array, int8_features: Array) -> tuple[KeptFit, KeptFit]:
    """Both fits of a state with features (n, R, C, D) of new normal images taken in, float ones and those of int8.

    Greedy k-center goes on from the bank: new patches that lie outside its coverage come in, farthest first, and the
    entries that add least give way (`renew`). The standardisation stays, so kept scores stay comparable. New images
    are scored without what came of them.
    """
    floats, rounded = state.fit.scorer, state.int8_fit.scorer
    assert isinstance(floats, PatchCoreScorer)
    assert isinstance(rounded, PatchCoreScorer)
    owners = state.fit.samples.max() + 1 + np.arange(len(features))
    patches = floats.patches(features).reshape(-1, floats.standardise.dimensions)
    kept, taken = renew(floats.bank, patches)
    images = owners.repeat(len(patches) // len(features))
    fits = []
    for fit, scorer, values in ((state.fit, floats, features), (state.int8_fit, rounded, int8_features)):
        own = scorer.patches(values).reshape(-1, scorer.standardise.dimensions)
        joined = replace(
            scorer,
            bank=np.concatenate([scorer.bank[kept], own[taken]]),
            samples=np.concatenate([scorer.samples[kept], images[taken]]),
        ).rounded()
        held_out = np.concatenate([fit.held_out_scores, joined.held_out_scores(values, owners)])
        samples = np.concatenate([fit.samples, owners])
        fits.append(replace(fit, scorer=joined, held_out_scores=held_out, samples=samples))
    return fits[0], fits[1]


def renew(bank: Array, patches: Array) -> tuple[Indices, Indices]:
    """Which entries of a bank (M, D) stay, and which patches (n, D) come in, so that there are M again.

    How much an entry adds is its distance to those picked before it. Patches come in while they add more than the
    bank's own last picks, and the entries that add least go.

    >>> bank = np.array([[0.0], [10.0], [5.0], [4.9]], np.float32)
    >>> renew(bank, np.array([[0.05], [20.0]], np.float32))
    (array([0, 1, 2]), array([1]))
    """
    adds = insertion_distances(bank)
    radius = float(np.median(adds[-max(1, len(bank) // TAIL) :]))
    nearest = np.concatenate([_distances(rows, bank).min(axis=1) for rows in _blocks(patches)])
    taken: list[int] = []
    while len(taken) < len(bank) * MOST_NEW:
        farthest = int(nearest.argmax())
        if nearest[farthest] <= radius:
            break
        taken.append(farthest)
        nearest = np.minimum(nearest, _distances(patches, patches[farthest : farthest + 1])[:, 0])
    stay = np.argsort(-adds, kind="stable")[: len(bank) - len(taken)]
    return np.sort(stay), np.array(taken, np.int64)


def insertion_distances(bank: Array) -> Array:
    """The distance (M,) of each entry of a bank (M, D) to the nearest of those before it; infinite for the first."""
    found = np.full(len(bank), np.inf, np.float32)
    for start in range(0, len(bank), ROWS):
        stop = min(start + ROWS, len(bank))
        distances = _distances(bank[start:stop], bank[:stop])
        distances[np.arange(stop) >= np.arange(start, stop)[:, None]] = np.inf
        found[start:stop] = distances.min(axis=1)
    return found


def _distances(rows: Array, others: Array) -> Array:
    squared = np.einsum("nd,nd->n", rows, rows)[:, None] + np.einsum("md,md->m", others, others) - 2 * rows @ others.T
    distances: Array = np.sqrt(np.maximum(squared, 0))
    return distances


def _blocks(rows: Array) -> list[Array]:
    return [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)]
