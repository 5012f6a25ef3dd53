"""A fleet from its table to fleet.json and fleet.html."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fomoad.cluster.open import Cluster
from fomoad.errors import UserError
from fomoad.export import output_directory
from fomoad.fleet import rows
from fomoad.fleet.page import Fleet, page
from fomoad.fleet.product import Done, Task, bring_up_to_date, failed
from fomoad.progress import log

RESULTS_FILE: Final = "fleet.json"
PAGE_FILE: Final = "fleet.html"
SHOWN: Final = 10


def train_all(
    table: Path,
    cluster: Cluster,
    report_directory: Path | None = None,
    work_directory: Path | None = None,
    keep_state: bool = True,
) -> Fleet:
    """Bring the models of all rows of a table up to date, and write what came of it beside the table.

    Raises UserError for a table with bad rows, before anything runs; and at the end where products failed.
    """
    found = rows.read(table)
    out = report_directory or table.absolute().parent
    for row in found:
        if row.output.resolve() == out.resolve():
            raise UserError(f"The report directory {out} is the output of line {row.line} too: give another.")
    tasks = [Task(row, keep_state, work_directory) for row in found]
    with output_directory.reserve(out), cluster.open() as engine:
        done: list[Done] = []
        for each in engine.map(bring_up_to_date, tasks, "Training products", failed):
            done.append(each)
            log(f"{each.product.name}: {each.product.status}" + _reason(each))
        fleet = Fleet(products=[each.product for each in done])
        contents = {
            PAGE_FILE: page(fleet, [each.thumbnails for each in done]).encode(),
            RESULTS_FILE: fleet.model_dump_json(indent=1).encode() + b"\n",
        }
        output_directory.publish(out, contents)
    log(f"Wrote {out / RESULTS_FILE} and {out / PAGE_FILE}: {summary(fleet)}")
    _refuse_failures(fleet, out)
    return fleet


def summary(fleet: Fleet) -> str:
    """How many products have which status.

    >>> summary(Fleet(products=[]))
    '0 trained, 0 unchanged, 0 failed'
    """
    states = [product.status for product in fleet.products]
    return ", ".join(f"{states.count(status)} {status}" for status in ("trained", "unchanged", "failed"))


def _reason(done: Done) -> str:
    return f" ({done.product.failure})" if done.product.failure else ""


def _refuse_failures(fleet: Fleet, out: Path) -> None:
    names: Sequence[str] = [product.name for product in fleet.products if product.status == "failed"]
    if names:
        shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
        raise UserError(
            f"{len(names)} of {len(fleet.products)} products failed ({shown}): {out / RESULTS_FILE} says why. Correct "
            "that and run again; finished ones are left as they are."
        )
