"""A signing key in a file: EC P-256, PKCS#8 in PEM form; its public half stands beside it as `FILE.pub`."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dr.errors import CONFIGURATION, NOT_AUTHORISED, NOT_FOUND, TARGET_EXISTS, DrError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class FileSigner:
    """A `Signer` on a key file, read at first use. Raises DrError NOT_FOUND, NOT_AUTHORISED, CONFIGURATION."""

    path: Path

    @cached_property
    def _key(self) -> EllipticCurvePrivateKey:
        return _read(self.path)

    @cached_property
    def name(self) -> str:
        """Made from the public key: a copy of the file elsewhere is the same signer."""
        return f"signing-key:{hashlib.sha256(self.public_key().encode()).hexdigest()[:16]}"

    def public_key(self) -> str:
        return _public(self._key)

    def sign(self, data: bytes) -> bytes:
        """A DER-encoded ECDSA signature over the SHA-256 of `data`."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        return self._key.sign(data, ec.ECDSA(hashes.SHA256()))


def make_signing_key(path: Path) -> Path:
    """A new key, mode 0600, and its public half; where that is. Raises DrError TARGET_EXISTS: a key is never replaced."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    public = path.with_name(path.name + ".pub")
    _write(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    _write(public, _public(key).encode(), 0o644)
    return public


def _write(path: Path, content: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise DrError(TARGET_EXISTS, f"{path} exists; a key is never replaced") from None
    except OSError as error:
        raise DrError(CONFIGURATION, f"cannot write the key file {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_guarded(path), None)
    except (ValueError, TypeError):
        raise DrError(CONFIGURATION, f"{path} holds no private key in PEM form without a passphrase") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        hint = "`dr init --evidence-key FILE` makes one"
        raise DrError(CONFIGURATION, f"the key in {path} is not of the kind that is wanted: EC P-256", hint=hint)
    return key


def _guarded(path: Path) -> bytes:
    """A file that others may read is refused, unless it is mounted read-only (a Secret in a Pod)."""
    try:
        with path.open("rb") as file:
            status, mount = os.fstat(file.fileno()), os.fstatvfs(file.fileno())
            if status.st_mode & _OTHERS and not mount.f_flag & os.ST_RDONLY:
                raise DrError(CONFIGURATION, f"others may read the key file {path}", hint=f"chmod 600 {path}")
            return file.read(1 << 16)
    except OSError as error:
        kinds = {FileNotFoundError: NOT_FOUND, PermissionError: NOT_AUTHORISED}
        raise DrError(
            kinds.get(type(error), CONFIGURATION), f"cannot read the key file {path}: {error.strerror}"
        ) from error


def _public(key: EllipticCurvePrivateKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
