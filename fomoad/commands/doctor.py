"""`fomoad doctor`: its arguments, and the function that it calls."""

import argparse

HELP = "Say what a request for support needs: versions, extras, weights, the machine, and which programs answer."


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from fomoad import doctor

    report = doctor.examine()
    print(report.model_dump_json(indent=2) if arguments.json else doctor.lines(report), flush=True)
