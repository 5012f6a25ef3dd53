"""Scorers that compute as int8 kernels do: against whole numbers, and against the kernels that they become."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import logsumexp

from fomoad.device import costs, micro
from fomoad.export import tflite, tflite_file, widening
from fomoad.export.trace import Exported
from fomoad.scorers.gmm import GmmScorer
from fomoad.scorers.patchcore import PatchCoreScorer
from fomoad.scorers.standardisation import MARGIN, Moments, standardisation
from fomoad.scorers.standardisation_graph import rounded as rounded_graph
from fomoad.scorers.steps import Codes
from fomoad.training.fit_gmm import fit_mixture
from tests.support.kernels import on_micro, on_reference

RANDOM = np.random.default_rng(4)
INPUT = Codes.between(0, 1)
STORED = np.clip(RANDOM.normal(0, 40, (220, 4, 5, 24)), -128, 127).astype(np.int8)
GRIDS = (INPUT.step * (STORED.astype(np.float32) - INPUT.zero)).astype(np.float32)
PLACES = np.arange(200 * 20) % 20
CELLS = GRIDS[:200].reshape(-1, 24)
PLAIN = standardisation(Moments.of(GRIDS[:200])).whitened(PLACES, CELLS)
STANDARDISE = PLAIN.rounded(PLACES, CELLS)
ENTRIES = STANDARDISE.at(PLACES, CELLS)[::13]


def _mixture() -> GmmScorer:
    return fit_mixture(STANDARDISE.at(PLACES, CELLS), STANDARDISE, 12, 1)


def _bank(k: int = 1) -> PatchCoreScorer:
    return PatchCoreScorer(STANDARDISE, ENTRIES, np.arange(len(ENTRIES)), k, window=2).rounded()


SCORERS: list[Callable[[], Any]] = [_mixture, _bank]


def _whole(values: Any, step: float) -> Any:
    """Values as whole numbers of steps, which they must be."""
    found = np.round(values / step)
    np.testing.assert_allclose(values, found * step, atol=1e-3 * step)
    return found.astype(np.int64)


def _multiplied(features: Any, entries: Any, codes: Codes) -> Any:
    """Closeness codes of the grids, in whole numbers up to where a kernel scales its sum."""
    rounding = STANDARDISE.rounding
    assert rounding is not None
    scaled = features.astype(np.float64) * STANDARDISE.gain + STANDARDISE.offset
    first = np.clip(np.round(scaled / rounding.scaled.step), -128, 127).astype(np.int64)
    matrix_step = float(np.abs(STANDARDISE.whitening_matrix).max()) / 127
    sums = first @ _whole(STANDARDISE.whitening_matrix, matrix_step)
    second = np.clip(np.round(sums * (rounding.scaled.step * matrix_step / rounding.whitened.step)), -128, 127)
    step = float(np.abs(entries).max()) / 127
    whole = _whole(entries, step)
    bias = np.round((whole**2).sum(axis=1) * step / (-2 * rounding.whitened.step))
    sums = second.astype(np.int64) @ whole.T + bias
    closeness = np.clip(np.round(sums * (step * rounding.whitened.step / codes.step)) + codes.zero, -128, 127)
    return second * rounding.whitened.step, (closeness - codes.zero) * codes.step


def _same(found: Any, expected: Any) -> None:
    """But for values half-way between two codes, which may go either way."""
    assert np.isclose(found, expected, rtol=1e-3, atol=1e-3).mean() > 0.98


def test_codes_have_one_for_0_and_round_to_the_nearest() -> None:
    codes = Codes.between(-0.31, 1.7)
    all_values = codes.step * (np.arange(-128, 128) - codes.zero)
    assert np.abs([codes.low + 0.31, codes.high - 1.7]).max() <= codes.step
    values = np.linspace(-1, 3, 977)
    expected = all_values[np.abs(values[:, None] - all_values).argmin(axis=1)]
    np.testing.assert_allclose(codes.rounded(values), expected, atol=1e-6)
    assert codes.rounded(np.zeros(1)) == 0
    np.testing.assert_allclose(rounded_graph(tf.constant(values, tf.float32), codes), expected, atol=1e-6)


def test_codes_reach_as_far_again_as_the_training_features() -> None:
    rounding, whitened = STANDARDISE.rounding, STANDARDISE.at(PLACES, CELLS)
    assert rounding is not None
    assert rounding.whitened.high == pytest.approx(MARGIN * np.abs(whitened).max(), rel=0.02)
    assert rounding.scaled.high == pytest.approx(MARGIN * np.abs(CELLS * PLAIN.gain.reshape(20, 24)[PLACES] +
        PLAIN.offset.reshape(20, 24)[PLACES]).max(), rel=1e-5)  # fmt: skip


def test_a_bank_s_scores_are_those_of_whole_numbers() -> None:
    scorer = _bank()
    assert scorer.closeness_codes is not None
    whitened, closeness = _multiplied(GRIDS, scorer.bank, scorer.closeness_codes)
    patches = np.sqrt(np.maximum((whitened**2).sum(axis=-1) - 2 * closeness.max(axis=-1), 0))
    around = np.pad(patches, ((0, 0), (1, 1), (1, 1)))
    expected = np.max([around[:, a : a + 5, b : b + 6] for a in (0, 1) for b in (0, 1)], axis=0)
    _same(scorer.score(GRIDS), expected)


def test_a_mixture_s_scores_are_those_of_whole_numbers() -> None:
    scorer = _mixture()
    assert scorer.closeness_codes is not None
    whitened, closeness = _multiplied(GRIDS, scorer.means, scorer.closeness_codes)
    exponents = (closeness - (whitened**2).sum(axis=-1, keepdims=True) / 2) / scorer.variances
    exponents += np.log(scorer.weights) - 12 * np.log(2 * np.pi * scorer.variances)
    expected = np.maximum((scorer.mean - logsumexp(exponents, axis=-1)) / scorer.deviation, 0)
    _same(scorer.score(GRIDS), expected)


def test_rounding_moves_scores_by_less_than_a_step_of_the_output() -> None:
    """Which is 1/64 of a threshold."""
    for exact, now in (
        (fit_mixture(PLAIN.at(PLACES, CELLS), PLAIN, 12, 1), _mixture()),
        (PatchCoreScorer(PLAIN, PLAIN.at(PLACES, CELLS)[::13], np.arange(len(ENTRIES)), 1, 2), _bank()),
    ):
        scores = exact.score(GRIDS[200:])
        assert np.median(np.abs(now.score(GRIDS[200:]) - scores)) < scores.max() / 64


@pytest.mark.parametrize("make", SCORERS)
def test_kernels_compute_what_the_scorer_says(make: Callable[[], Any]) -> None:
    """LiteRT's reference kernels and TFLite Micro, all products with a matrix in int8."""
    scorer = make()
    output = Codes(float(scorer.score(GRIDS).max()) / 255, -128)
    graph = lambda image: rounded_graph(scorer.graph(rounded_graph(image, INPUT)), output)  # noqa: E731
    content = widening.read_codes_by_cast(tflite.convert_int8(Exported(graph, GRIDS.shape[1:])))
    expected = np.round(scorer.score(GRIDS[-20:]) / output.step) - 128
    reference = on_reference(content, STORED[-20:])
    # They round sums twice, so that a few of the features, and what comes of these, are a step off.
    assert (reference == expected).mean() > 0.9
    assert np.abs(reference - expected).max() <= 3
    operations = tflite_file.operations(content)
    for operation in operations:
        if operation.name == "CONV_2D" and operation.outputs[0].shape[-1] > 1:
            assert costs.precision(operation) == "int8"
    matrices = [t for operation in operations for t in operation.inputs if t.constant and t.dtype == "int8"]
    entries = scorer.bank if isinstance(scorer, PatchCoreScorer) else scorer.means
    assert sum(t.elements for t in matrices) == 24 * 24 + entries.size
    if micro.available():
        np.testing.assert_array_equal(on_micro(content, STORED[-20:]), reference)


def test_the_k_nearest_are_found_in_int8_too() -> None:
    scorer = _bank(3)
    _same(scorer.graph(tf.constant(GRIDS[:20])).numpy(), scorer.score(GRIDS[:20]))
