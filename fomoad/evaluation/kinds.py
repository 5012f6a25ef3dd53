"""Figures for each kind of defect, by the labels of the test images."""

from collections.abc import Sequence

from fomoad.evaluation.results import ANOMALY, ImageResult, KindResult
from fomoad.metrics import image_metrics


def by_kind(images: Sequence[ImageResult]) -> list[KindResult]:
    """Recall and AUROC of each label of anomalies, against all good images; the one found worst first."""
    good = [image.score for image in images if image.anomalous is False]
    labels = sorted({image.label for image in images if image.anomalous and image.label is not None})
    kinds = []
    for label in labels:
        mine = [image for image in images if image.anomalous and image.label == label]
        scores = [image.score for image in mine]
        truth = [True] * len(scores) + [False] * len(good)
        points = image_metrics.operating_points([*scores, *good], truth)
        found = sum(image.verdict == ANOMALY for image in mine)
        kinds.append(
            KindResult(
                label=label,
                images=len(mine),
                found=found,
                recall=found / len(mine),
                auroc=image_metrics.auroc(points),
            )
        )
    return sorted(kinds, key=lambda kind: (kind.recall, kind.auroc or 0.0, kind.label))
