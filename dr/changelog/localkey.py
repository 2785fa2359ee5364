"""A key encryption key in a file: 32 bytes, raw or in base64."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
import stat
from base64 import b64decode, b64encode
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dr.errors import CONFIGURATION, DAMAGED, NOT_AUTHORISED, NOT_FOUND, TARGET_EXISTS, DrError, ErrorKind

KEY_BYTES, NONCE_BYTES = 32, 12
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class LocalKey:
    """A `KeyWrapper` on a key file, read at first use. Its name is made from the key's content, so a copy of the file
    elsewhere opens what the original sealed. Raises DrError NOT_FOUND, NOT_AUTHORISED, CONFIGURATION."""

    path: Path

    @cached_property
    def _key(self) -> bytes:
        return read_key(self.path)

    @cached_property
    def name(self) -> str:
        return "local-key:" + hmac.new(self._key, b"dr local key name 1", hashlib.sha256).hexdigest()[:16]

    def wrap(self, key: bytes, context: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + AESGCM(self._key).encrypt(nonce, key, _bound(context))

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        try:
            return AESGCM(self._key).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], _bound(context))
        except (InvalidTag, ValueError):
            raise DrError(DAMAGED, f"a data key was not wrapped by the key in {self.path}, or is damaged") from None


def _bound(context: bytes) -> bytes:
    return b"dr local key wrap 1\0" + context


def read_key(path: Path) -> bytes:
    """The 32 bytes. A file that others may read is refused, unless it is mounted read-only (a Secret in a Pod)."""
    try:
        with path.open("rb") as file:
            status, mount = os.fstat(file.fileno()), os.fstatvfs(file.fileno())
            if status.st_mode & _OTHERS and not mount.f_flag & os.ST_RDONLY:
                raise DrError(CONFIGURATION, f"others may read the key file {path}", hint=f"chmod 600 {path}")
            return _decoded(file.read(4096), path)
    except OSError as error:
        raise DrError(_kind(error), f"cannot read the key file {path}: {error.strerror}") from error


def _kind(error: OSError) -> ErrorKind:
    if isinstance(error, FileNotFoundError):
        return NOT_FOUND
    return NOT_AUTHORISED if isinstance(error, PermissionError) else CONFIGURATION


def _decoded(content: bytes, path: Path) -> bytes:
    key = content
    if len(content) != KEY_BYTES:
        try:
            key = b64decode(content.strip(), validate=True)
        except binascii.Error:
            key = b""
    if len(key) != KEY_BYTES:
        raise DrError(CONFIGURATION, f"{path} holds no key: 32 bytes are wanted, raw or in base64")
    return key


def make_key(path: Path) -> None:
    """Write a new random key, mode 0600, in base64. Raises DrError TARGET_EXISTS: a key is never replaced."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise DrError(TARGET_EXISTS, f"{path} exists; a key is never replaced") from None
    except OSError as error:
        raise DrError(CONFIGURATION, f"cannot write the key file {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(b64encode(os.urandom(KEY_BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
