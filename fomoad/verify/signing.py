"""Signed lists of model files: a factory runs what it approved, and nothing else.

Keys and signatures are those of minisign (https://jedisct1.github.io/minisign/): Ed25519 over the BLAKE2b digest of a
file, with a comment that is signed too. Its tool reads what is written here, and the other way round. The signed file
lists SHA-256 digests in the form of the tool sha256sum.
"""

import base64
import binascii
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fomoad.errors import UserError

LIST_FILE: Final = "models.sha256"
SIGNATURE_FILE: Final = "models.sha256.minisig"
SIGNED: Final = ("*.tflite", "*.onnx", "saved_model.zip", "anomaly_metadata.json", "training_state.npz")
"""What a training leaves that decides what is flagged later."""

_KEY, _PREHASHED = b"Ed", b"ED"
_CHECKSUM: Final = b"B2"
_NO_PASSWORD: Final = b"\0\0"
_LINE: Final = re.compile(r"([0-9a-f]{64})  ([^/\n]+)")


@dataclass(frozen=True)
class PublicKey:
    """Whose signatures are taken."""

    number: bytes
    """8 bytes that tell keys apart."""
    key: bytes

    def text(self) -> str:
        """The content of its file."""
        return f"untrusted comment: minisign public key {self.number[::-1].hex().upper()}\n{self.line()}\n"

    def line(self) -> str:
        """The key alone, in one line."""
        return base64.b64encode(_KEY + self.number + self.key).decode()


@dataclass(frozen=True)
class SigningKey:
    """What signs; it has no password."""

    number: bytes
    seed: bytes

    def public(self) -> PublicKey:
        """The key that takes its signatures."""
        private = _ed25519().Ed25519PrivateKey.from_private_bytes(self.seed)
        return PublicKey(self.number, private.public_key().public_bytes_raw())

    def text(self) -> str:
        """The content of its file."""
        whole = self.seed + self.public().key
        checksum = hashlib.blake2b(_KEY + self.number + whole, digest_size=32).digest()
        parts = _KEY + _NO_PASSWORD + _CHECKSUM + bytes(48) + self.number + whole + checksum
        return f"untrusted comment: minisign secret key without a password\n{base64.b64encode(parts).decode()}\n"


def make_key() -> SigningKey:
    """A new key."""
    return SigningKey(os.urandom(8), os.urandom(32))


def read_signing_key(path: Path) -> SigningKey:
    """Read a secret key of minisign. Raises UserError where it is missing, damaged or has a password."""
    parts = _decoded(path, _text(path, "signing key"), 158)
    if parts[:2] != _KEY or parts[4:6] != _CHECKSUM:
        raise UserError(f"{path} is no secret key of minisign: make one with fomoad sign --make-key NAME.")
    if parts[2:4] != _NO_PASSWORD:
        raise UserError(f"The signing key {path} has a password: remove it (minisign -C -W -s {path}).")
    number, seed, public, checksum = parts[54:62], parts[62:94], parts[94:126], parts[126:]
    if hashlib.blake2b(_KEY + number + seed + public, digest_size=32).digest() != checksum:
        raise UserError(f"The signing key {path} is damaged: restore it from a copy.")
    return SigningKey(number, seed)


def read_public_key(value: str) -> PublicKey:
    """Read a public key from a file, or from the line itself. Raises UserError where it is neither."""
    path = Path(value)
    text = _text(path, "key") if path.is_file() else value
    parts = _decoded(path, text, 42)
    if parts[:2] != _KEY:
        raise UserError(f"{value} is no public key of minisign: give the .pub file, or its second line.")
    return PublicKey(parts[2:10], parts[10:])


def sign(content: bytes, key: SigningKey, comment: str) -> str:
    """The content of the signature file of some bytes."""
    private = _ed25519().Ed25519PrivateKey.from_private_bytes(key.seed)
    signature = private.sign(hashlib.blake2b(content).digest())
    whole = base64.b64encode(private.sign(signature + comment.encode())).decode()
    return (
        "untrusted comment: signature of model files by fomoad\n"
        f"{base64.b64encode(_PREHASHED + key.number + signature).decode()}\n"
        f"trusted comment: {comment}\n{whole}\n"
    )


def verify(content: bytes, signature: str, key: PublicKey, name: str) -> None:
    """Check the signature of some bytes; `name` is the signed file's. Raises UserError where it is not of this key."""
    lines = signature.splitlines()
    if len(lines) < 4 or not lines[2].startswith("trusted comment: "):
        raise UserError(f"The signature of {name} is not a minisign signature: sign the models again.")
    parts, whole = (_decoded(Path(name), line, size) for line, size in ((lines[1], 74), (lines[3], 64)))
    if parts[2:10] != key.number:
        raise UserError(f"{name} was signed with another key ({parts[2:10][::-1].hex().upper()}): it was not approved.")
    digest = hashlib.blake2b(content).digest() if parts[:2] == _PREHASHED else content
    public = _ed25519().Ed25519PublicKey.from_public_bytes(key.key)
    try:
        public.verify(parts[10:], digest)
        public.verify(whole, parts[10:] + lines[2].removeprefix("trusted comment: ").encode())
    except _invalid_signature() as error:
        raise UserError(f"The signature of {name} does not fit it: a file was changed since.") from error


def sign_models(directory: Path, key: SigningKey, comment: str) -> list[str]:
    """The names of the model files of a directory, whose digests are now listed and signed there.

    Raises UserError where there are none.
    """
    files = sorted({path for pattern in SIGNED for path in directory.glob(pattern) if path.is_file()})
    if not files:
        raise UserError(f"There are no model files in {directory}: give the output directory of a training.")
    listed = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files).encode()
    for name, content in ((LIST_FILE, listed), (SIGNATURE_FILE, sign(listed, key, comment).encode())):
        beside = directory / f".{name}.{os.getpid()}"
        beside.write_bytes(content)
        beside.replace(directory / name)
    return [path.name for path in files]


def verify_model(model: Path, key: PublicKey) -> None:
    """Check that a model file and the metadata beside it are listed and signed.

    Raises UserError where the list is missing, not signed with this key, or a file is not the listed one.
    """
    listed = model.parent / LIST_FILE
    content = _text(listed, "signed list of the models").encode()
    verify(content, _text(model.parent / SIGNATURE_FILE, "signature"), key, str(listed))
    digests = {match[2]: match[1] for match in map(_LINE.fullmatch, content.decode().splitlines()) if match}
    metadata = model.parent / "anomaly_metadata.json"
    for path in (model, metadata) if metadata.exists() else (model,):
        if digests.get(path.name) != hashlib.sha256(path.read_bytes()).hexdigest():
            raise UserError(f"{path} is not the file that was approved: it is not in {listed}, or was changed since.")


def _text(path: Path, what: str) -> str:
    try:
        if path.stat().st_size > 2**20:
            raise UserError(f"The {what} {path} is too large to be one: give another.")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"The {what} {path} cannot be read ({error.strerror}): sign with fomoad sign.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The {what} {path} is no text: give another.") from error


def _decoded(path: Path, text: str, size: int) -> bytes:
    """The bytes of the last line that is no comment. Raises UserError where these are not `size` bytes."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("untrusted comment")]
    try:
        parts = base64.b64decode(lines[-1] if lines else "", validate=True)
    except (binascii.Error, ValueError):
        parts = b""
    if len(parts) != size:
        raise UserError(f"{str(path)[:200]} is no key or signature of minisign: give the file that its tool wrote.")
    return parts


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise UserError("Signatures need the package cryptography: pip install 'fomoad[sign]'.") from error
    return ed25519


def _invalid_signature() -> type[Exception]:
    from cryptography.exceptions import InvalidSignature

    return InvalidSignature
