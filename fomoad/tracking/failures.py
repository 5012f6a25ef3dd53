"""Why something was not logged."""

import re
from collections.abc import Iterator
from typing import Final

LONGEST: Final = 200


def causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that it came of. An OSError among them is of the connection, its time or the disk."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def reason(error: Exception) -> str:
    """What failed, as part of a sentence: in the system's words where it is the connection or the disk."""
    for cause in causes(error):
        if isinstance(cause, TimeoutError):
            return "no answer in time"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return without_password(" ".join(str(error).split()))[:LONGEST].rstrip(".") or type(error).__name__


def without_password(text: str) -> str:
    """A text without what stands before the host of an address."""
    return re.sub(r"://[^/@\s]*@", "://***@", text)
