"""From --cluster and its companions to an engine."""

import argparse
import contextlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fomoad import extras
from fomoad.cluster.engine import Engine, Here
from fomoad.errors import UserError
from fomoad.progress import warn

LOCAL: Final = "local:"
CERTIFICATES: Final = {
    "tls_ca_file": "the authority's certificate, for tls:// (default: Dask's own configuration)",
    "tls_client_cert": "this side's certificate",
    "tls_client_key": "its key",
}
"""By Dask's names: files for TLS, and what they are."""


@dataclass(frozen=True)
class Cluster:
    """Where tasks run: an `address` (None: in this process), files for TLS, and whether kinds of workers may differ."""

    address: str | None = None
    certificates: Mapping[str, Path] = field(default_factory=dict)
    allow_mixed: bool = False

    @property
    def is_local(self) -> bool:
        """Whether all tasks run on this machine."""
        return self.address is None or self.address.startswith(LOCAL)

    def open(self) -> contextlib.AbstractContextManager[Engine]:
        """The engine. Raises UserError for an address that cannot be used, at once or when it is entered."""
        if self.address is None:
            return contextlib.nullcontext(Here())
        workers = self.check()
        from fomoad.cluster import on_dask

        if workers is not None:
            return on_dask.local(workers)
        return on_dask.connected(self.address, self.certificates, self.allow_mixed)

    def check(self) -> int | None:
        """The number of processes where the address is local:N. Raises UserError for one that cannot be used."""
        if self.address is None:
            return None
        workers = _local_workers(self.address)
        if workers is None:
            _check(self.address)
        extras.require("cluster", "--cluster")
        return workers


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that name a cluster."""
    group = parser.add_argument_group("cluster")
    group.add_argument("--cluster", help="a Dask scheduler, tcp://HOST:8786 or tls://HOST:8786, or local:N processes")
    for name, what in CERTIFICATES.items():
        group.add_argument(f"--{name.replace('_', '-')}", type=Path, metavar="FILE", help=what)
    group.add_argument(
        "--allow-mixed-workers",
        action="store_true",
        help="take workers of different processors or versions, which gives up the same bytes",
    )


def of(arguments: argparse.Namespace) -> Cluster:
    """The cluster that the arguments of `declare` name."""
    certificates = {name: path for name in CERTIFICATES if (path := getattr(arguments, name)) is not None}
    for name, path in certificates.items():
        if not path.is_file():
            raise UserError(f"--{name.replace('_', '-')} {path} does not exist: give a PEM file.")
    return Cluster(arguments.cluster, certificates, arguments.allow_mixed_workers)


def _local_workers(address: str) -> int | None:
    """N of local:N, None for another address."""
    if not address.startswith(LOCAL):
        return None
    number = address.removeprefix(LOCAL)
    if not (number.isascii() and number.isdigit() and 1 <= int(number) <= 1024):
        raise UserError(f"--cluster {address} cannot be used: give a number of processes, as in local:4.")
    return int(number)


def _check(address: str) -> None:
    """Raise UserError for what is no address; warn where anyone on the way could run code."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or port is None or parts.scheme not in ("tcp", "tls"):
        raise UserError(
            f"--cluster {address} cannot be used: give tcp://HOST:8786, tls://HOST:8786 or local:N (processes here)."
        )
    if parts.scheme == "tcp" and not _is_loopback(host):
        warn(
            f"{address} is reached without TLS: whoever reaches the scheduler or a worker can run code there. Use "
            "tls://, or a network that nobody else is in."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
