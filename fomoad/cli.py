"""The command line: one function a command."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit code."""
    raise NotImplementedError(arguments)
