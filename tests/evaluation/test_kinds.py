"""Recall and AUROC of each kind of defect against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fomoad.evaluation.kinds import by_kind
from tests.support.results import results


def test_every_kind_is_held_against_all_good_images() -> None:
    tested = results([True] * 30 + [False] * 20 + [None] * 3)
    labels = [["dent", "crack", "odd"][row % 3] for row in range(30)]
    for image, label in zip(tested.images, labels, strict=False):
        image.label = label
    kinds = {kind.label: kind for kind in by_kind(tested.images)}
    assert set(kinds) == {"dent", "crack", "odd"}
    good = [image.score for image in tested.images[30:50]]
    for label, kind in kinds.items():
        scores = np.array([image.score for image in tested.images[:30] if image.label == label])
        assert (kind.images, kind.found) == (10, int((scores >= tested.threshold).sum()))
        assert kind.recall == kind.found / 10
        assert kind.auroc == pytest.approx(roc_auc_score([1] * 10 + [0] * 20, [*scores, *good]))
    recalls = [kind.recall for kind in by_kind(tested.images)]
    assert recalls == sorted(recalls)


def test_without_good_images_there_is_no_area() -> None:
    [kind] = by_kind(results([True, True]).images)
    assert (kind.label, kind.images, kind.auroc) == ("anomaly", 2, None)
    assert by_kind(results([False, None]).images) == []
