"""The thresholds of a model file as a table for the log, and in plain words what to make of them."""

from collections.abc import Iterator

from fomoad.metadata import Interval, Threshold, ThresholdChoice
from fomoad.progress import log, warn

HEADINGS = ("threshold", "value", "false alarms expected", "95 % of trainings", "made defects found", "")
WITH_VOTE = "false alarms with the vote"
VOTE_ASSUMES = (
    "The vote's false alarms are for images that are flagged independently of one another. Those of one part are not: "
    "where all of them are flagged alike, a vote takes no false alarm away."
)


def show(file: str, threshold: Threshold) -> None:
    """Log the table of a file's thresholds, what to make of it, and a warning where there are few samples."""
    log(f"Thresholds of {file}:")
    for line in lines(threshold):
        log(line)
    if threshold.warning:
        warn(f"{file}: {threshold.warning}")


def lines(threshold: Threshold) -> Iterator[str]:
    """A line for each threshold to choose, and one where the recommended one does other than the suggested one."""
    rows = [HEADINGS, *(_row(choice, threshold) for choice in threshold.choices)]
    voted = any(choice.expected_vote_alarms is not None for choice in threshold.choices)
    if voted:
        shares = [WITH_VOTE, *(_share(choice.expected_vote_alarms) for choice in threshold.choices)]
        rows = [(*row[:3], share, *row[3:]) for row, share in zip(rows, shares, strict=True)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    advice = parting(threshold)
    if advice:
        yield f"  {advice}"
    if voted:
        yield f"  {VOTE_ASSUMES}"


def name(choice: ThresholdChoice) -> str:
    """What a threshold is called: its rule, or the rate that it keeps."""
    rate = choice.false_positive_rate
    return "max (highest training score)" if rate is None else f"at most {100 * rate:.3g} % false alarms"


def parting(threshold: Threshold) -> str | None:
    """In plain words, what the recommended threshold would do other than the suggested one; None where that is little.

    >>> parting(Threshold(suggested=1.0, method="max", max_train=1.0))
    """
    by_value = {choice.threshold: choice for choice in threshold.choices}
    suggested, recommended = by_value.get(threshold.suggested), by_value.get(threshold.recommended)
    if suggested is None or recommended is None or suggested is recommended:
        return None
    if suggested.made_defects_found is None or recommended.made_defects_found is None:
        return None
    return (
        f"The suggested threshold {threshold.suggested:.4g} finds {suggested.made_defects_found:.0%} of the made "
        f"defects and flags about {suggested.expected_false_alarms or 0:.1%} of new good parts; the recommended "
        f"{recommended.threshold or 0:.4g} finds {recommended.made_defects_found:.0%} and flags about "
        f"{recommended.expected_false_alarms or 0:.1%}."
    )


def _row(choice: ThresholdChoice, threshold: Threshold) -> tuple[str, ...]:
    if choice.threshold is None or choice.expected_false_alarms is None:
        return name(choice), f"takes {choice.samples_needed} samples", "", "", "", ""
    marks = [
        word
        for word, value in (("suggested", threshold.suggested), ("recommended", threshold.recommended))
        if value == choice.threshold
    ]
    found = choice.made_defects_found
    return (
        name(choice),
        f"{choice.threshold:.6g}",
        f"{choice.expected_false_alarms:.1%}",
        _range(choice.false_alarms_interval),
        "not known" if found is None else f"{found:.0%}",
        f"<- {' and '.join(marks)}" if marks else "",
    )


def _share(rate: float | None) -> str:
    return "" if rate is None else f"{100 * rate:.2g}%" if rate < 1e-3 else f"{rate:.1%}"


def _range(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.low:.1%} to {interval.high:.1%}"
