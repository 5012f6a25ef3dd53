"""The tests under every Python that fomoad supports: `make test-pythons`, or `nox -s tests-3.12 -- tests/data`."""

import nox

nox.options.error_on_missing_interpreters = True


@nox.session(python=["3.10", "3.11", "3.12"])
def tests(session: nox.Session) -> None:
    """Install the pinned packages and this one, and run the tests, or those that are named after --."""
    session.install("-r", "requirements-dev.txt")
    session.install("--no-deps", "-e", ".")
    parallel = ["--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile"]
    session.run("python", "-m", "pytest", *parallel, *session.posargs)
