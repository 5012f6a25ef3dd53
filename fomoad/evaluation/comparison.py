"""`fomoad compare`: two models over the same test images: what differs, how surely, and on which images."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy import stats

from fomoad.data.info_file import read_json
from fomoad.errors import UserError
from fomoad.evaluation import uncertainty
from fomoad.evaluation.report import comparison_page
from fomoad.evaluation.results import ImageResult, Results
from fomoad.evaluation.uncertainty import Difference, Statistic
from fomoad.export import output_directory
from fomoad.metadata import Interval, Record
from fomoad.progress import log, step

COMPARISON_FILE: Final = "comparison.json"
PAGE_FILE: Final = "comparison.html"
SURE: Final = 0.05
"""A difference with a smaller p-value is called one."""


class FigureComparison(Record):
    """One figure of both models, and its difference: the second's less the first's."""

    name: str
    first: float
    second: float
    difference: float
    interval: Interval
    p_value: float
    method: Literal["DeLong", "paired bootstrap"]


class VerdictComparison(Record):
    """Labelled images of one kind by the verdicts of both models, and McNemar's exact p-value."""

    anomalous: bool
    both_right: int
    only_first_right: int
    only_second_right: int
    both_wrong: int
    p_value: float


class ChangedImage(Record):
    """An image that the models call differently."""

    row: int
    id: str
    file_name: str | None
    label: str | None
    anomalous: bool | None
    first_score: float
    second_score: float
    first_verdict: str
    second_verdict: str


class Comparison(Record):
    """The content of comparison.json."""

    first: str
    second: str
    first_threshold: float
    second_threshold: float
    images: int
    samples: int
    figures: list[FigureComparison]
    verdicts: list[VerdictComparison]
    changed: list[ChangedImage]


def run(first_path: Path, second_path: Path, report_directory: Path) -> Comparison:
    """Compare two results.json of the same test images; write comparison.json and comparison.html.

    Raises UserError where a file is missing or damaged, or the images differ.
    """
    with output_directory.reserve(report_directory):
        first, second = read_results(first_path), read_results(second_path)
        check_same_images(first, second)
        with step("Comparing"):
            comparison = compare(first, second, str(first_path), str(second_path))
        page = comparison_page.render(comparison.model_dump(), first, second).encode()
        record = comparison.model_dump_json(indent=1).encode() + b"\n"
        output_directory.publish(report_directory, {COMPARISON_FILE: record, PAGE_FILE: page})
    for line in _lines(comparison):
        log(line)
    log(f"Wrote {report_directory / COMPARISON_FILE} and {report_directory / PAGE_FILE}")
    return comparison


def read_results(path: Path) -> Results:
    """Read a results.json. Raises UserError where it is missing or damaged."""
    try:
        return Results.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise UserError(
            f"{path} is not a results.json of fomoad test ({where}: {first['msg']}): test again."
        ) from error


def check_same_images(first: Results, second: Results) -> None:
    """Raise UserError where the results are of other images, or their labels mean something else."""
    if len(first.images) != len(second.images):
        raise UserError(
            f"The results are of {len(first.images)} and of {len(second.images)} images: test both models on the same "
            "data directory."
        )
    for one, other in zip(first.images, second.images, strict=True):
        if (one.id, one.file_name, one.anomalous) != (other.id, other.file_name, other.anomalous):
            raise UserError(
                f"Image {one.row} is {_named(one)} in the first results and {_named(other)} in the second: test both "
                "models on the same data directory."
            )


def compare(first: Results, second: Results, first_name: str, second_name: str) -> Comparison:
    """Every figure that has a meaning, and the images whose verdict changed."""
    pairs = list(zip(first.images, second.images, strict=True))
    return Comparison(
        first=first_name,
        second=second_name,
        first_threshold=first.threshold,
        second_threshold=second.threshold,
        images=len(pairs),
        samples=len({image.id for image in first.images}),
        figures=list(_figures(first, second)),
        verdicts=[found for kind in (True, False) if (found := _verdicts(first, second, kind))],
        changed=[_changed(one, other) for one, other in pairs if one.verdict != other.verdict],
    )


def _figures(first: Results, second: Results) -> Iterator[FigureComparison]:
    labelled = [image.anomalous is not None for image in first.images]
    truth = np.array([image.anomalous for image in first.images if image.anomalous is not None], bool)
    ids = [image.id for image in first.images if image.anomalous is not None]
    scores = [np.array([image.score for image in each.images])[labelled] for each in (first, second)]
    flagged = [(values >= each.threshold).astype(float) for values, each in zip(scores, (first, second), strict=True)]
    if truth.any() and not truth.all():
        one, other = (uncertainty.weighted_auroc(values, truth) for values in scores)
        # DeLong's variance takes all images as independent.
        independent = len(set(ids)) == len(ids) and min(truth.sum(), (~truth).sum()) > 1
        if independent:
            yield _figure("AUROC", one, other, uncertainty.delong(scores[0], scores[1], truth), "DeLong", ids)
        else:
            yield _drawn("AUROC", one, other, ids)
    for name, among in {"recall": truth, "false alarms": ~truth}.items():
        if among.any():
            one, other = (uncertainty.weighted_share(each, among) for each in flagged)
            yield _drawn(name, one, other, ids)
    if truth.any():
        one, other = (uncertainty.weighted_f1(each, truth) for each in flagged)
        yield _drawn("F1", one, other, ids)


def _drawn(name: str, one: Statistic, other: Statistic, ids: list[str]) -> FigureComparison:
    return _figure(name, one, other, uncertainty.paired_difference(one, other, ids), "paired bootstrap", ids)


def _figure(
    name: str,
    one: Statistic,
    other: Statistic,
    found: Difference,
    method: Literal["DeLong", "paired bootstrap"],
    ids: list[str],
) -> FigureComparison:
    ones = np.ones(len(ids))
    return FigureComparison(
        name=name,
        first=one(ones),
        second=other(ones),
        difference=found.value,
        interval=Interval(low=found.low, high=found.high),
        p_value=found.p_value,
        method=method,
    )


def _verdicts(first: Results, second: Results, anomalous: bool) -> VerdictComparison | None:
    """McNemar 1947, exact: of the images that one model alone gets right, each model's share is a fair coin's."""
    right = [_right(each, anomalous) for each in (first, second)]
    if not len(right[0]):
        return None
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    changed = only_first + only_second
    return VerdictComparison(
        anomalous=anomalous,
        both_right=int((right[0] & right[1]).sum()),
        only_first_right=only_first,
        only_second_right=only_second,
        both_wrong=int((~right[0] & ~right[1]).sum()),
        p_value=float(stats.binomtest(only_first, changed).pvalue) if changed else 1.0,
    )


def _right(results: Results, anomalous: bool) -> NDArray[np.bool_]:
    """Whether each image of a kind got the right verdict."""
    flagged = [image.score >= results.threshold for image in results.images if image.anomalous is anomalous]
    right: NDArray[np.bool_] = np.array(flagged, bool) == anomalous
    return right


def _changed(one: ImageResult, other: ImageResult) -> ChangedImage:
    return ChangedImage(
        row=one.row,
        id=one.id,
        file_name=one.file_name,
        label=one.label,
        anomalous=one.anomalous,
        first_score=one.score,
        second_score=other.score,
        first_verdict=one.verdict,
        second_verdict=other.verdict,
    )


def _named(image: ImageResult) -> str:
    kind = {True: "an anomaly", False: "normal", None: "not labelled"}[image.anomalous]
    return f"{image.file_name or image.id} ({kind})"


def _lines(comparison: Comparison) -> Iterator[str]:
    """The comparison, for the log."""
    yield f"A: {comparison.first}, threshold {comparison.first_threshold:.6g}"
    yield f"B: {comparison.second}, threshold {comparison.second_threshold:.6g}"
    yield f"{comparison.images} images of {comparison.samples} samples; differences are B less A, with 95 % intervals"
    for figure in comparison.figures:
        sure = "" if figure.p_value < SURE else ": no sure difference"
        yield (
            f"  {figure.name}: {figure.first:.3f}, {figure.second:.3f}; {figure.difference:+.3f} "
            f"({figure.interval.low:+.3f} to {figure.interval.high:+.3f}), p {figure.p_value:.2g}{sure}"
        )
    yield f"  {len(comparison.changed)} images changed their verdict"
