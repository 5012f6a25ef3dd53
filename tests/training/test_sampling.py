"""How training images are split."""

import numpy as np
from sklearn.model_selection import GroupKFold

from fomoad.training.sampling import assign_folds


def test_folds_keep_a_sample_together() -> None:
    """Rows of one sample share a fold, every fold is used, and the seed decides."""
    sample_ids = [str(sample // 3) for sample in range(60)]
    numbers = assign_folds(sample_ids, 5, 1)
    assert set(numbers) == set(range(5))
    for sample in set(sample_ids):
        assert len({fold for fold, other in zip(numbers, sample_ids, strict=True) if other == sample}) == 1
    assert (numbers == assign_folds(sample_ids, 5, 1)).all()
    assert (numbers != assign_folds(sample_ids, 5, 2)).any()


def test_folds_are_those_of_scikit_learn() -> None:
    sample_ids = [f"part {number}" for number in np.random.default_rng(0).integers(0, 40, 100)]
    numbers = assign_folds(sample_ids, 5, 3)
    splits = GroupKFold(5, shuffle=True, random_state=3).split(sample_ids, groups=sample_ids)
    for fold, (_, held_out) in enumerate(splits):
        np.testing.assert_array_equal(np.flatnonzero(numbers == fold), held_out)
