"""`fomoad monitor`: its arguments, and the function that it calls."""

import argparse
from pathlib import Path

HELP = "Watch the scores of a deployed model and say when it no longer fits what it sees."
ALARM = 3
"""The exit code where an alarm was raised."""


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("lines", nargs="?", default="-", metavar="LINES", help="file of predict's lines (default: -)")
    parser.add_argument("--model", type=Path, required=True, help="the model file that scored the images")
    parser.add_argument(
        "--false-alarm", type=float, default=0.001, help="chance of an alarm, ever, if nothing changes (default: 0.001)"
    )
    parser.add_argument("--state", type=Path, help="file to keep what was seen in (default: MODEL.monitor.json)")
    parser.add_argument("--status", action="store_true", help="read nothing, say what is known")
    parser.add_argument("--reset", action="store_true", help="forget what was seen and begin again")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write a page with the course over time")
    parser.add_argument("--on-alarm", metavar="CMD", help="shell command to call on an alarm, which stdin describes")
    parser.add_argument("--counters", action="store_true", help="lines hold a device's counters, not scores")
    parser.add_argument(
        "--counter-edges", action="store_true", help="print the scores that a device counts between, as JSON"
    )
    parser.add_argument("--rate", type=float, help="share of flagged images that is allowed (default: by the training)")
    parser.add_argument("--scores", type=Path, help="held-out scores, one a line (default: training_state.npz)")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; the exit code says whether there was an alarm."""
    from fomoad.maintenance import monitor_setup

    raised = monitor_setup.run(
        arguments.model,
        arguments.lines,
        monitor_setup.Options(
            false_alarm=arguments.false_alarm,
            rate=arguments.rate,
            state=arguments.state,
            scores=arguments.scores,
            counters=arguments.counters,
            counter_edges=arguments.counter_edges,
            status=arguments.status,
            reset=arguments.reset,
            page=arguments.page,
            on_alarm=arguments.on_alarm,
        ),
    )
    return ALARM if raised else 0
