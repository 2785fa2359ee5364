"""From a URL to a store; the Cloud Storage SDK is loaded only for `gs://`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from dr.errors import CONFIGURATION, DrError
from dr.ports import ObjectStore
from dr.vendors.loading import preload

if TYPE_CHECKING:
    from dr.vendors.google import GoogleAccess


def open_store(url: str, access: GoogleAccess) -> ObjectStore:
    """`gs://bucket[/prefix]` or `file:///directory`. Opening touches nothing. Raises DrError CONFIGURATION."""
    parts = urlsplit(url)
    if parts.scheme == "gs" and parts.netloc:
        preload("dr.stores.gcs")
        from dr.stores.gcs import GcsStore

        return GcsStore(access, parts.netloc, parts.path.strip("/"))
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        from dr.stores.local import LocalStore

        return LocalStore(Path(unquote(parts.path)))
    raise DrError(CONFIGURATION, f"{url!r} is not a place for objects; write gs://bucket/prefix or file:///directory")
