"""Key rings, keys and their versions, kept in one file so that a restart still opens what was sealed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
import uuid
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import grpc
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lab.grpcproxy import Refused

FILE = "keys.json"
ENCRYPT, SIGN = 1, 5
"""CryptoKey.CryptoKeyPurpose."""
ENABLED, DISABLED, DESTROYED, DESTROY_SCHEDULED = 1, 2, 3, 4
"""CryptoKeyVersion.CryptoKeyVersionState."""
SOFTWARE, HSM = 1, 2
"""ProtectionLevel."""
DESTROY_S = 30 * 86_400.0
KEY = re.compile(
    r"(?P<ring>projects/[^/]+/locations/(?P<location>[^/]+)/keyRings/[\w-]{1,63})/cryptoKeys/(?P<id>[\w-]{1,63})"
)


@dataclass(slots=True)
class Version:
    """`material` is base64: 32 random bytes, or a private key in PKCS #8; empty once destroyed."""

    id: int
    state: int
    created: float
    material: str
    destroy: float | None = None
    destroyed: float | None = None


@dataclass(slots=True)
class KeyRecord:
    """One CryptoKey. `rotation` and `next_rotation` in seconds, None: never by itself."""

    name: str
    uid: str
    purpose: int
    protection: int
    created: float
    rotation: float | None = None
    next_rotation: float | None = None
    primary: int | None = None
    versions: dict[str, Version] = field(default_factory=dict)

    def add(self, now: float) -> Version:
        """A new enabled version; only the first becomes primary by itself."""
        made = Version(len(self.versions) + 1, ENABLED, now, _material(self.purpose))
        self.versions[str(made.id)] = made
        if self.purpose == ENCRYPT and self.primary is None:
            self.primary = made.id
        return made

    def version(self, number: str) -> Version:
        """NOT_FOUND unless there is one."""
        if number not in self.versions:
            raise not_found(f"CryptoKeyVersion {self.name}/cryptoKeyVersions/{number}")
        return self.versions[number]

    def usable(self, number: int) -> bytes:
        """The material of an enabled version; FAILED_PRECONDITION else, as Cloud KMS words it."""
        version = self.version(str(number))
        if version.state != ENABLED:
            state = {DISABLED: "DISABLED", DESTROYED: "DESTROYED", DESTROY_SCHEDULED: "DESTROY_SCHEDULED"}
            text = f"{self.name}/cryptoKeyVersions/{number} is not enabled, current state is: {state[version.state]}."
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, text)
        return b64decode(version.material)

    def keep_time(self, now: float) -> bool:
        """Rotate when due, destroy what was scheduled; whether anything changed."""
        due = [one for one in self.versions.values() if one.destroy is not None and one.destroy <= now]
        for one in due:
            one.state, one.material, one.destroyed, one.destroy = DESTROYED, "", one.destroy, None
        rotate = self.rotation is not None and self.next_rotation is not None and self.next_rotation <= now
        if rotate and self.rotation is not None:
            self.primary, self.next_rotation = self.add(now).id, now + self.rotation
        return bool(due) or rotate


@dataclass(slots=True)
class World:
    """All of it. Change it inside `changing()`, which saves."""

    directory: Path
    rings: dict[str, float] = field(default_factory=dict)
    keys: dict[str, KeyRecord] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    """Locations that answer nothing; forgotten by a restart."""
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def open(cls, directory: Path) -> World:
        """What is there, or nothing yet."""
        directory.mkdir(parents=True, exist_ok=True)
        world = cls(directory)
        with contextlib.suppress(FileNotFoundError):
            raw = json.loads((directory / FILE).read_text())
            world.rings = raw["rings"]
            world.keys = {record["name"]: _record(record) for record in raw["keys"]}
        return world

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """One change at a time, saved when it worked."""
        with self._lock:
            yield
            self._save()

    def key(self, name: str) -> KeyRecord:
        """NOT_FOUND unless there is one; its rotation and destructions are brought up to now."""
        with self._lock:
            record = self.keys.get(name)
            if record is None:
                raise not_found(f"CryptoKey {name}")
            if record.keep_time(time.time()):
                self._save()
            return record

    def make(self, name: str, purpose: int, protection: int = SOFTWARE, rotation: float | None = None) -> KeyRecord:
        """A new key with its first version; its ring is made when missing. Call inside `changing()`."""
        now, found = time.time(), KEY.fullmatch(name)
        if found is None:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"Resource name {name!r} is malformed.")
        if name in self.keys:
            raise Refused(grpc.StatusCode.ALREADY_EXISTS, f"CryptoKey {name} already exists.")
        self.rings.setdefault(found["ring"], now)
        record = KeyRecord(name, uuid.uuid4().hex, purpose, protection, now, rotation)
        record.next_rotation = None if rotation is None else now + rotation
        record.add(now)
        self.keys[name] = record
        return record

    def _save(self) -> None:
        text = json.dumps({"rings": self.rings, "keys": [asdict(record) for record in self.keys.values()]}, indent=1)
        temporary = self.directory / f".{FILE}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.directory / FILE)


def _record(raw: dict[str, object]) -> KeyRecord:
    versions = raw.pop("versions")
    assert isinstance(versions, dict)
    record = KeyRecord(**raw)  # type: ignore[arg-type]
    record.versions = {number: Version(**version) for number, version in versions.items()}
    return record


def _material(purpose: int) -> str:
    if purpose == ENCRYPT:
        return b64encode(os.urandom(32)).decode()
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return b64encode(pem).decode()


def not_found(what: str) -> Refused:
    return Refused(grpc.StatusCode.NOT_FOUND, f"{what} not found.")


def location_of(name: str) -> str:
    """The location in a resource name, or nothing."""
    parts = name.split("/")
    return parts[3] if len(parts) > 3 and parts[2] == "locations" else ""
