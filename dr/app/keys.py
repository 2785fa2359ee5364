"""The keys that the settings declare, as the components use them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dr.ports import KeyWrapper
from dr.settings import KeySettings

if TYPE_CHECKING:
    from dr.vendors.google import GoogleAccess

LOCAL = "file://"


def declared(settings: KeySettings) -> tuple[str, ...]:
    """URLs of the key encryption keys, primary first."""
    return tuple(url for url in (settings.primary, settings.secondary) if url)


def open_keys(settings: KeySettings, google: GoogleAccess) -> tuple[KeyWrapper, ...]:
    """Key encryption keys, primary first; nothing is contacted or read yet."""
    return tuple(_open(url, google) for url in declared(settings))


def _open(url: str, google: GoogleAccess) -> KeyWrapper:
    from dr.changelog.localkey import LocalKey

    return LocalKey(Path(url.removeprefix(LOCAL)))
