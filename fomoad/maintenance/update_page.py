"""What an update changed, in a few lines and as a page."""

from typing import Any

from fomoad.maintenance.page import render


def summary(record: dict[str, Any]) -> str:
    """The changes in a few lines of text."""
    corrected = record["corrected"]
    taken = [each for each in corrected if each["taken"]]
    lines = [
        f"{len(taken)} of {len(corrected)} photos were taken in. Before, {_passing(corrected, 'passes_before')} of all "
        f"passed; now {_passing(corrected, 'passes_after')} do. Of unseen photos like them, about "
        f"{record['unseen_of_the_same_kind_that_pass']:.0%} pass.",
        f"Threshold: {record['threshold']['before']:g} before, {record['threshold']['after']:g} now.",
        "False alarms: " + ", ".join(f"{share:.1%} {what}" for what, share in record["false_alarms"].items()) + ".",
    ]
    if record["fitted_again_to_original_images"]:
        lines.append(f"Fitted again to all {record['fitted_again_to_original_images']} original images and to these.")
    for name, what in (("known_defects_found", "known defects"), ("given_defects_found", "given defects")):
        found = record[name]
        if found:
            lines.append(
                f"Of {found['count']} {what}, {found['before']:.0%} were found before, {found['after']:.0%} now."
            )
    return "\n".join(lines)


def render_page(record: dict[str, Any]) -> str:
    """The page: the same lines, and a table of photos and of files."""
    return render("update.html.jinja", lines=summary(record).split("\n"), record=record)


def _passing(corrected: list[dict[str, Any]], key: str) -> int:
    return sum(each[key] for each in corrected)
