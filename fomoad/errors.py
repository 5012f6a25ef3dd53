"""The one kind of failure that a user can fix."""


class UserError(Exception):
    """Bad input, settings or surroundings.

    The message is one sentence that says what is wrong, where, and what to do. The command line prints it
    without a traceback and exits with code 1; every other exception is a defect of this program.
    """


class NotFittedError(UserError, ValueError, AttributeError):
    """A detector was used before `fit` or `fomoad.load`. Its bases are those of scikit-learn's error of this name."""
