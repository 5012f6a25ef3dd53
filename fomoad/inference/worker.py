"""A model file in a process of its own: what it may take is limited, and where it crashes, only that process ends.

`load` starts `main` in a new interpreter. Messages go both ways through pipes, each a length of 8 bytes and so many
bytes: a JSON object, a model file, an array's values, or a sentence that says what is wrong.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from fomoad.errors import UserError
from fomoad.inference.model import Format, GridModel, TensorSpec

MOST_MEMORY: Final = 8 * 2**30
"""Bytes that the process may take: far more than any model of a plausible size needs."""
MOST_SECONDS: Final = 300
"""For loading a model or scoring one image."""
_LENGTH_BYTES: Final = 8
_NAMES: Final = "surrogatepass"
"""How sentences are encoded: file names in them may be of any bytes."""
_DONE, _FAILED = b"\1", b"\0"
"""What an answer begins with."""


def load(file_format: Format, content: bytes, name: str) -> GridModel:
    """Load a model file's content in a new process, which ends with the model; `name` stands for it in messages.

    Raises UserError where the content cannot be loaded, now, or run, later.
    """
    process = _Process(name)
    process.send(json.dumps({"format": file_format, "name": name}).encode())
    process.send(content)
    into, out = (TensorSpec(**{**spec, "shape": tuple(spec["shape"])}) for spec in json.loads(process.receive()))
    return GridModel(file_format, into, out, lambda stored: process.run(stored, out))


class _Process:
    """The other side of the pipes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._errors = tempfile.TemporaryFile(prefix="fomoad-")  # noqa: SIM115 - it is closed with the process
        program = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; main()"
        self._popen = subprocess.Popen(
            [sys.executable, "-I", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._into: BinaryIO = self._popen.stdin  # type: ignore[assignment]
        self._out: BinaryIO = self._popen.stdout  # type: ignore[assignment]
        weakref.finalize(self, _end, self._popen, (self._into, self._out, self._errors))

    def run(self, stored: NDArray[Any], out: TensorSpec) -> NDArray[Any]:
        """Images to grids, both in the model's stored types."""
        with self._lock:
            self.send(np.ascontiguousarray(stored).tobytes())
            return np.frombuffer(self.receive(), out.dtype).reshape(out.shape)

    def send(self, message: bytes) -> None:
        try:
            _write(self._into, message)
        except OSError as error:
            raise self._crash() from error

    def receive(self) -> bytes:
        """The answer. Raises UserError where it says what is wrong, there is none, or it takes too long."""
        if not select.select([self._out], [], [], MOST_SECONDS)[0]:
            self._popen.kill()
            raise UserError(f"{self._name} did not answer within {MOST_SECONDS} seconds: it cannot be used here.")
        message = _read(self._out)
        if message is None:
            raise self._crash()
        if message[:1] == _FAILED:
            raise UserError(message[1:].decode(errors=_NAMES))
        return message[1:]

    def _crash(self) -> UserError:
        """What to say of a process that has ended."""
        code = self._popen.wait()
        self._errors.seek(0)
        said = [line for line in self._errors.read()[-2000:].decode(errors="replace").splitlines() if line.strip()]
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
        reason = f", {said[-1].strip()[:200]}" if said else ""
        return UserError(
            f"{self._name} ended the program that runs it ({how}{reason}): the file is damaged, made to do harm, or "
            "needs more memory than there is."
        )


def _end(popen: "subprocess.Popen[bytes]", streams: tuple[Any, ...]) -> None:
    popen.kill()
    popen.wait()
    for stream in streams:
        with contextlib.suppress(OSError):
            stream.close()


def _write(stream: BinaryIO, message: bytes) -> None:
    stream.write(len(message).to_bytes(_LENGTH_BYTES, "little") + message)
    stream.flush()


def _read(stream: BinaryIO) -> bytes | None:
    """The next message; None where the other side has ended."""
    length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
    message = stream.read(length)
    return message if length and len(message) == length else None


def _serve(into: BinaryIO, out: BinaryIO) -> None:
    """Load what comes first, then answer every array with an array, until the other side ends."""
    header, content = _read(into), _read(into)
    if header is None or content is None:
        return
    from fomoad.inference import runtimes

    request = json.loads(header)
    try:
        model = runtimes.load(request["format"], content, request["name"])
    except UserError as error:
        _write(out, _FAILED + str(error).encode(errors=_NAMES))
        return
    del content
    _allow_no_files()
    _write(out, _DONE + json.dumps([vars(model.input), vars(model.output)]).encode())
    while (image := _read(into)) is not None:
        _write(out, _answer(model, image, request["name"]))


def _answer(model: GridModel, image: bytes, name: str) -> bytes:
    try:
        grids = model.run(np.frombuffer(image, model.input.dtype).reshape(model.input.shape))
    except Exception as error:  # a runtime raises what it likes
        reason = (str(error).strip().splitlines() or [repr(error)])[0][:300]
        return _FAILED + f"{name} cannot be run ({reason}): it is damaged, get a new copy.".encode(errors=_NAMES)
    if grids.shape != model.output.shape:
        return _FAILED + f"{name} gives {grids.shape} where it promises {model.output.shape}: get a new copy.".encode(
            errors="surrogatepass"
        )
    return _DONE + np.ascontiguousarray(grids, model.output.dtype).tobytes()


def _limit() -> None:
    """Bound memory, leave no core file, and let the parent's end, not the terminal's signals, end this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        for limit, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_DATA, MOST_MEMORY)):
            _, hard = resource.getrlimit(limit)
            resource.setrlimit(limit, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _allow_no_files() -> None:
    """From here on, whatever runs can write no byte into any file; the parent's file for errors is let go."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nothing, stream)
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def main() -> None:
    """Serve one model. Keep the pipes for messages: what a library prints goes to the standard error stream."""
    _limit()
    with os.fdopen(os.dup(0), "rb") as into, os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        _serve(into, out)
