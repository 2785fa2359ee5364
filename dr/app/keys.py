"""The keys that the settings declare, as the components use them, and whether they are what they must be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dr.errors import DrError
from dr.model.points import Check
from dr.plan.keyfacts import judge_key, judge_places, location_of, permitted
from dr.plan.permissions import READ_KEY, SEAL, UNSEAL, Where, permissions
from dr.ports import KeyWrapper
from dr.settings import KeySettings

if TYPE_CHECKING:
    from dr.vendors.google import GoogleAccess
    from dr.vendors.kms import CloudKms

LOCAL, CLOUD = "file://", "gcp-kms://"
PROBE = b"dr check"


def declared(settings: KeySettings) -> tuple[str, ...]:
    """URLs of the key encryption keys, primary first."""
    return tuple(url for url in (settings.primary, settings.secondary) if url)


def open_keys(settings: KeySettings, google: GoogleAccess) -> tuple[KeyWrapper, ...]:
    """Key encryption keys, primary first; nothing is contacted or read yet."""
    urls = declared(settings)
    cloud = {key.name: key for key in _cloud(urls, google)}
    return tuple(cloud[url] if url in cloud else _local(url) for url in urls)


def _local(url: str) -> KeyWrapper:
    from dr.changelog.localkey import LocalKey

    return LocalKey(Path(url.removeprefix(LOCAL)))


def _cloud(urls: tuple[str, ...], google: GoogleAccess) -> list[CloudKms]:
    """They share one connection."""
    from dr.vendors.kms import CloudKms, Kms

    kms = Kms(google)
    return [CloudKms(kms, url.removeprefix(CLOUD)) for url in urls if url.startswith(CLOUD)]


# --- for `dr check`


def check_keys(settings: KeySettings, google: GoogleAccess, identity: str) -> tuple[Check, ...]:
    """Each declared key as `identity` (capture, restore, prune) may use it, and both together. A failure to look is a
    failed check, not an exception."""
    urls = declared(settings)
    if not permissions(identity, Where.KEY):
        return ()
    checks = [check for key in _cloud(urls, google) for check in _cloud_key(key, identity)]
    checks += [_local_key(url) for url in urls if url.startswith(LOCAL)]
    if any(location_of(url) for url in urls):
        checks.append(judge_places(urls))
    return (*checks, *(check_evidence_key(settings, google) if permissions(identity, Where.EVIDENCE) else ()))


def check_evidence_key(settings: KeySettings, google: GoogleAccess) -> Iterator[Check]:
    """That a signature is made and fits its public key; nothing where no key is declared."""
    from dr.app.evidence import open_signer
    from dr.vendors.dsse import sign, verify

    signer = open_signer(settings, lambda: google)
    if signer is None:
        return
    try:
        verify(sign(PROBE, "text/plain", signer), signer.public_key())
        yield Check(f"key {settings.evidence}", True, "signs, and its signature fits its public key")
    except DrError as error:
        yield Check(f"key {settings.evidence}", False, error.message)


def _cloud_key(key: CloudKms, identity: str) -> Iterator[Check]:
    try:
        held = key.kms.held(key.key, (READ_KEY, SEAL, UNSEAL))
        yield from permitted(key.key, held, identity)
        if READ_KEY in held:
            yield from judge_key(key.kms.describe(key.key))
        if SEAL in held:
            key.wrap(os.urandom(32), PROBE)
    except DrError as error:
        yield Check(f"key {key.key}", False, error.message)


def _local_key(url: str) -> Check:
    key = _local(url)
    try:
        data_key = os.urandom(32)
        opens = key.unwrap(key.wrap(data_key, PROBE), PROBE) == data_key
        return Check(f"key {url}", opens, f"{key.name}; whoever reads the file opens what it sealed")
    except DrError as error:
        return Check(f"key {url}", False, error.message)
