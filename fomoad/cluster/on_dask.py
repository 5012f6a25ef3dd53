"""The ordered map on Dask distributed. Only this file knows Dask."""

import asyncio
import concurrent.futures
import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import dask
import distributed
from distributed import Client, LocalCluster, Security
from distributed.scheduler import KilledWorker
from threadpoolctl import threadpool_limits

from fomoad import machine
from fomoad.cluster import kinds
from fomoad.cluster.kinds import Kind
from fomoad.errors import UserError
from fomoad.progress import SECONDS_BETWEEN_LINES, log, warn

T = TypeVar("T")
R = TypeVar("R")

SECONDS_TO_CONNECT: Final = 10
SECONDS_FOR_WORKERS: Final = 30
SECONDS_BETWEEN_LOOKS: Final = 1.0
THREADS: Final = 1
"""Threads of a task: one number everywhere, whatever machine it is on. Machines are filled by more workers."""
_ONE_AT_A_TIME: Final = threading.Lock()
"""TensorFlow's converters belong to a process: tasks of a worker with threads wait for it."""


@dataclass(frozen=True)
class OnDask:
    """Tasks on the workers of a Dask scheduler; `kind` is that of all workers, None where kinds may differ."""

    client: Client
    address: str
    kind: Kind | None

    def map(
        self, function: Callable[[T], R], items: Sequence[T], what: str, lost: Callable[[T, str], R] | None = None
    ) -> Iterator[R]:
        """See fomoad.cluster.engine.Engine."""
        call = functools.partial(_do, function, self.kind)
        log(f"{what}: 0 of {len(items)} on {self.address}")
        start = time.monotonic()
        futures = self.client.map(call, items, pure=False, batch_size=None)
        try:
            for item, future in zip(items, futures, strict=True):
                self._wait(future, futures)
                yield self._result(item, future, lost)
        finally:
            for future in futures:
                future.release()
        log(f"  {len(items)} of {len(items)} done in {time.monotonic() - start:.1f} s")

    def _wait(self, future: Any, futures: Sequence[Any]) -> None:
        """Wait for a task, saying every few seconds how many are done.

        Raises UserError where the scheduler goes away.
        """
        said = time.monotonic()
        while not future.done():
            try:
                with self.client.as_current():  # it is the default of no one
                    distributed.wait([future], timeout=SECONDS_BETWEEN_LOOKS)
            except (TimeoutError, asyncio.TimeoutError, concurrent.futures.TimeoutError):
                pass
            except (OSError, concurrent.futures.CancelledError, asyncio.CancelledError) as error:
                raise self._gone() from error
            if self.client.status != "running":
                raise self._gone()
            if time.monotonic() - said >= SECONDS_BETWEEN_LINES:
                workers = len(self.client.scheduler_info(n_workers=-1)["workers"])
                log(f"  {sum(each.done() for each in futures)} of {len(futures)} done, {workers} worker(s)")
                said = time.monotonic()

    def _result(self, item: T, future: Any, lost: Callable[[T, str], R] | None) -> R:
        if future.status in ("cancelled", "lost"):
            raise self._gone()
        try:
            result: R = future.result()
        except KilledWorker as error:
            reason = "every worker that was given it ended, most likely because the memory was used up"
            if lost is None:
                raise UserError(f"A task was lost: {reason}. Give workers more memory.") from error
            return lost(item, reason)
        return result

    def _gone(self) -> UserError:
        return UserError(
            f"The scheduler at {self.address} went away: start it again and run the same command; what is done stays."
        )


@contextmanager
def local(workers: int) -> Iterator[OnDask]:
    """An engine of so many processes on this machine. A process that ends is started again."""
    with (
        dask.config.set({"distributed.scheduler.worker-saturation": 1.0}),  # a task waits at the scheduler: where a
        # worker ends, only the one that it had begun is blamed
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # any port: else two runs on a machine warn of each other
            memory_limit=0,  # a training keeps --memory-limit itself
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield OnDask(client, f"local:{workers}", kinds.mine())


@contextmanager
def connected(address: str, certificates: Mapping[str, Path], allow_mixed: bool) -> Iterator[OnDask]:
    """An engine of the workers of the scheduler at an address such as tcp://HOST:8786.

    `certificates` are files for TLS by Dask's names (tls_ca_file, tls_client_cert, tls_client_key); without them,
    those of Dask's own configuration are taken.

    Raises UserError where certificates for tls:// are missing or unusable, nobody answers, there are no workers, or
    they are of different kinds.
    """
    security = _security(address, certificates)
    try:
        client = Client(address, timeout=SECONDS_TO_CONNECT, security=security, set_as_default=False)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error.__cause__ or error).split())[:200] or f"not within {SECONDS_TO_CONNECT} s"
        raise UserError(
            f"No Dask scheduler answers at {address} ({reason}): start one with `dask scheduler`, or correct --cluster."
        ) from error
    with client:
        yield OnDask(client, address, _checked_kind(client, address, allow_mixed))


def _security(address: str, certificates: Mapping[str, Path]) -> Security:
    files = {name: str(path) for name, path in certificates.items()}
    if not address.startswith("tls://"):
        return Security(**files)
    security = Security(**files, require_encryption=True)
    try:
        context = security.get_connection_args("client")["ssl_context"]
    except OSError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"The certificates for {address} cannot be used ({reason}): give PEM files that this user may read."
        ) from error
    if context is None:
        raise UserError(
            f"--cluster {address} needs certificates: give --tls-ca-file, --tls-client-cert and --tls-client-key, or "
            "name them in Dask's own configuration."
        )
    return security


def _checked_kind(client: Client, address: str, allow_mixed: bool) -> Kind | None:
    """The one kind of all workers; None where they may differ."""
    try:
        client.wait_for_workers(1, timeout=SECONDS_FOR_WORKERS)
    except (TimeoutError, asyncio.TimeoutError) as error:
        raise UserError(
            f"The scheduler at {address} has no workers: start some with `dask worker {address} --nthreads 1`."
        ) from error
    try:
        found: dict[str, Kind] = client.run(kinds.mine)
    except ImportError as error:
        raise UserError(
            f"A worker of {address} cannot import fomoad ({error}): install the same version there."
        ) from error
    log(f"{len(found)} worker(s) at {address}")
    first = next(iter(found.values()))
    if first.versions[0] != kinds.mine().versions[0]:
        raise UserError(
            f"The workers of {address} have {' '.join(first.versions[0])}, here is {' '.join(kinds.mine().versions[0])}"
            ": install the same version."
        )
    if not allow_mixed:
        kinds.check(found)
        return first
    if len(set(found.values())) > 1:
        warn("workers are of different kinds: models will not have the same bytes wherever they are trained.")
    return None


def _do(function: Callable[[T], R], expected: Kind | None, item: T) -> R:
    """Do a task on a worker. Raises UserError where the worker came later and is of another kind."""
    with _ONE_AT_A_TIME:
        if expected is not None and kinds.mine() != expected:
            raise UserError(
                f"A worker of another kind has joined ({kinds.difference(kinds.mine(), expected)}): stop it, or give "
                "up the same bytes with --allow-mixed-workers."
            )
        with machine.limited(THREADS), threadpool_limits(THREADS):
            return function(item)
