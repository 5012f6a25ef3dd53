"""Inputs that fuzzing found worth keeping: every reader reads them or says what is wrong with them."""

from pathlib import Path

import pytest

from tests.support import fuzz_targets

CORPORA = Path(__file__).parent / "corpora"


def test_every_reader_has_a_corpus() -> None:
    assert {path.name for path in CORPORA.iterdir()} == set(fuzz_targets.TARGETS)


@pytest.mark.parametrize("target", sorted(fuzz_targets.TARGETS))
def test_readers_survive_their_corpora(target: str) -> None:
    """And take the inputs that are good, so that what is fuzzed is more than a first check."""
    inputs = sorted((CORPORA / target).iterdir())
    assert any(path.name.startswith("good") for path in inputs)
    for path in inputs:
        if path.name.startswith("good"):
            fuzz_targets.TARGETS[target](path.read_bytes())
        else:
            fuzz_targets.run(target, path.read_bytes())
