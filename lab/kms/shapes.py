"""Records of the lab -> messages of the API (raw)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from google.cloud.kms_v1 import types

from lab.kms.world import DESTROY_S, ENCRYPT, KeyRecord, Version

SYMMETRIC, EC_P256 = 1, 12
"""CryptoKeyVersion.CryptoKeyVersionAlgorithm: GOOGLE_SYMMETRIC_ENCRYPTION, EC_SIGN_P256_SHA256."""


def _at(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def algorithm(record: KeyRecord) -> int:
    return SYMMETRIC if record.purpose == ENCRYPT else EC_P256


def ring_message(name: str, created: float) -> Any:
    """A KeyRing."""
    return types.KeyRing.pb(types.KeyRing(name=name, create_time=_at(created)))


def key_message(record: KeyRecord) -> Any:
    """A CryptoKey, with its primary version."""
    template = types.CryptoKeyVersionTemplate(protection_level=record.protection, algorithm=algorithm(record))
    key = types.CryptoKey(
        name=record.name,
        purpose=record.purpose,
        create_time=_at(record.created),
        next_rotation_time=_at(record.next_rotation),
        version_template=template,
        destroy_scheduled_duration=timedelta(seconds=DESTROY_S),
    )
    if record.rotation is not None:
        key.rotation_period = timedelta(seconds=record.rotation)
    if record.primary is not None:
        key.primary = _version(record, record.version(str(record.primary)))
    return types.CryptoKey.pb(key)


def version_message(record: KeyRecord, version: Version) -> Any:
    """A CryptoKeyVersion."""
    return types.CryptoKeyVersion.pb(_version(record, version))


def _version(record: KeyRecord, version: Version) -> types.CryptoKeyVersion:
    return types.CryptoKeyVersion(
        name=f"{record.name}/cryptoKeyVersions/{version.id}",
        state=version.state,
        protection_level=record.protection,
        algorithm=algorithm(record),
        create_time=_at(version.created),
        generate_time=_at(version.created),
        destroy_time=_at(version.destroy),
        destroy_event_time=_at(version.destroyed),
    )
