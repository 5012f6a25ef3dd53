"""Workers on hosts of their own, as network namespaces, over TLS; and a host whose link is cut."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone  # noqa: TID251  certificates are valid for a time
from pathlib import Path
from threading import Thread

import pytest

from fomoad.cluster.open import Cluster
from fomoad.errors import UserError

pytest.importorskip("fomoad.cluster.on_dask")

HOST = "FOMOAD_TEST_HOST"
HOSTS = ("one", "two")
SECONDS_UNHEARD = 12
"""After so long without an answer Dask gives a connection up. Its own default is 30, the least it takes 12."""
SECONDS_CUT = 1.5


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _namespaces() -> bool:
    if shutil.which("ip") is None or os.geteuid() != 0:
        return False
    name = f"fomoad-probe-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        return False
    _ip("netns", "del", name)
    return True


pytestmark = pytest.mark.skipif(not _namespaces(), reason="network namespaces need root and the command ip")


@dataclass(frozen=True)
class Network:
    """A scheduler here and a worker on each host."""

    address: str
    certificates: Mapping[str, Path]
    links: Mapping[str, str]

    def link(self, host: str, state: str) -> None:
        """Set a host's link up or down, at this end: nothing tells the host."""
        _ip("link", "set", self.links[host], state)


@contextmanager
def joined(names: Mapping[str, str], subnet: int) -> Iterator[dict[str, str]]:
    """Network namespaces by host, each joined to this machine by a pair of interfaces; gives this machine's ends."""
    links = {}
    try:
        for number, (host, name) in enumerate(names.items()):
            here, there, net = f"fm{os.getpid() % 10**6}{number}h", f"fm{os.getpid() % 10**6}{number}t", subnet + number
            _ip("netns", "add", name)
            _ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
            _ip("addr", "add", f"10.213.{net}.1/24", "dev", here)
            _ip("link", "set", here, "up")
            _ip("-n", name, "addr", "add", f"10.213.{net}.2/24", "dev", there)
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", there, "up")
            _ip("-n", name, "route", "add", "default", "via", f"10.213.{net}.1")
            links[host] = here
        yield links
    finally:
        for name in names.values():
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def authority(folder: Path) -> dict[str, Path]:
    """A certificate authority of one day with one certificate that all sides use: files by Dask's names."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir()
    now = datetime.now(timezone.utc)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("authority", "side")}
    names = {name: x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in keys}
    files = {}
    for name, key in keys.items():
        certificate = (
            x509.CertificateBuilder()
            .subject_name(names[name])
            .issuer_name(names["authority"])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == "authority", path_length=None), critical=True)
            .sign(keys["authority"], hashes.SHA256())
        )
        files[name] = folder / f"{name}.pem"
        files[name].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files["key"] = folder / "key.pem"
    files["key"].write_bytes(
        keys["side"].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return {"tls_ca_file": files["authority"], "tls_client_cert": files["side"], "tls_client_key": files["key"]}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Two hosts and a scheduler that they reach over TLS only."""
    folder = tmp_path_factory.mktemp("hosts")
    certificates = authority(folder / "certificates")
    own, cert, key = (str(path) for path in certificates.values())
    tls = ["--tls-ca-file", own, "--tls-cert", cert, "--tls-key", key]
    subnet, port = os.getpid() * 2 % 250, 19786 + os.getpid() % 1000
    address = f"tls://10.213.{subnet}.1:{port}"
    names = {host: f"fomoad-{os.getpid()}-{host}" for host in HOSTS}
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": f"{SECONDS_UNHEARD}s",
    }
    dask = [sys.executable, "-m", "dask"]
    processes = []
    with joined(names, subnet) as links, (folder / "log").open("wb") as log:

        def start(command: list[str], **more: str) -> None:
            processes.append(subprocess.Popen(command, env=environment | more, stdout=log, stderr=log))

        try:
            ready = ["--scheduler-file", str(folder / "ready")]
            start([*dask, "scheduler", "--protocol", "tls", "--port", str(port), "--no-dashboard", *ready, *tls])
            while not (folder / "ready").exists():
                assert processes[0].poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
            for host, name in names.items():
                worker = ["worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", *tls]
                start(["ip", "netns", "exec", name, *dask, *worker], **{HOST: host})
            yield Network(address, certificates, links)
        finally:
            for process in processes:
                process.kill()
                process.wait()


def where(number: int) -> tuple[int, str]:
    """A task: its number, and the host that it ran on."""
    time.sleep(0.2)
    return number, os.environ[HOST]


def cut_off(item: tuple[int, Path]) -> int:
    """A task; the first of all says which host it runs on, and takes its time."""
    number, folder = item
    if number == 0 and not (folder / "began").exists():
        (folder / "host").write_text(os.environ[HOST])
        (folder / "host").rename(folder / "began")
        time.sleep(3 * SECONDS_CUT)
    return number * number


def cut(network: Network, folder: Path, restored: bool) -> list[int]:
    """Run tasks, and cut the link of the host that the first one runs on."""

    def watch() -> None:
        while not (folder / "began").exists():
            time.sleep(0.05)
        host = (folder / "began").read_text()
        network.link(host, "down")
        if restored:
            time.sleep(SECONDS_CUT)
            network.link(host, "up")

    watching = Thread(target=watch, daemon=True)
    with Cluster(network.address, certificates=network.certificates).open() as engine:
        watching.start()
        found = list(engine.map(cut_off, [(number, folder) for number in range(6)], "Working"))
    watching.join(30)
    assert (folder / "began").exists()
    return found


def test_both_hosts_work_over_tls(network: Network, capsys: pytest.CaptureFixture[str]) -> None:
    with Cluster(network.address, certificates=network.certificates).open() as engine:
        deadline = time.monotonic() + 60
        while True:
            found = list(engine.map(where, range(8), "Working"))
            assert [number for number, _ in found] == list(range(8))
            if {host for _, host in found} == set(HOSTS):
                break
            assert time.monotonic() < deadline, found
    assert "Warning: " not in capsys.readouterr().out


def test_who_has_no_certificate_is_kept_out(network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fomoad.cluster import on_dask

    monkeypatch.setattr(on_dask, "SECONDS_TO_CONNECT", 3)
    with pytest.raises(UserError, match=f"--cluster {network.address} needs certificates: give --tls-ca-file"):
        Cluster(network.address).open().__enter__()
    plain = network.address.replace("tls://", "tcp://")
    for address, files in ((network.address, authority(tmp_path / "another")), (plain, {})):
        with pytest.raises(UserError, match=f"No Dask scheduler answers at {address}"):
            Cluster(address, certificates=files).open().__enter__()
    (tmp_path / "empty.pem").touch()
    for file in ("empty.pem", "missing.pem"):
        with pytest.raises(UserError, match=f"The certificates for {network.address} cannot be used"):
            Cluster(
                network.address, certificates=network.certificates | {"tls_ca_file": tmp_path / file}
            ).open().__enter__()


@pytest.mark.parametrize("restored", [True, False])
def test_a_host_whose_link_is_cut(network: Network, tmp_path: Path, restored: bool) -> None:
    """Cut for a moment, its work comes through; cut for good, its work is done elsewhere."""
    assert cut(network, tmp_path, restored) == [number * number for number in range(6)]
