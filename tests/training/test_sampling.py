"""How training images are split."""

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
