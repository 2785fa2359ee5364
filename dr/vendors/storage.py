"""Downloads from Cloud Storage as they really go: cut, ranged, and with their checksum in a header."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import requests
import urllib3
from google.api_core.exceptions import GoogleAPIError, from_http_response
from google.auth.exceptions import GoogleAuthError
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from dr.errors import DAMAGED, UNAVAILABLE, DrError

FAILURES: tuple[type[Exception], ...] = (
    GoogleAPIError,
    GoogleAuthError,
    InvalidResponse,
    DataCorruption,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
)
"""All that a call of the client or of its session may raise."""
TIMEOUT = (10, 60)
"""Seconds to connect, seconds without a byte."""


def open_download(session: Any, url: str, offset: int, where: str) -> requests.Response:
    """The reply, its body unread, from byte `offset` on. Raises one of FAILURES, or DrError."""
    # with gzip accepted, an object that is stored compressed comes as it is stored, which is what its checksum is of
    headers = {"Accept-Encoding": "gzip"} | ({"Range": f"bytes={offset}-"} if offset else {})
    reply: requests.Response = session.get(url, headers=headers, stream=True, timeout=TIMEOUT)
    if reply.status_code == 416:
        raise DrError(DAMAGED, f"{where} is damaged: nothing follows byte {offset}")
    if reply.status_code not in (200, 206):
        raise from_http_response(reply)
    if offset and reply.status_code != 206:
        raise DrError(UNAVAILABLE, f"cannot read {where}: the server ignored a range")
    return reply


def body(reply: requests.Response, chunk: int, where: str) -> Iterator[bytes]:
    """The bytes as they were sent. Raises DrError UNAVAILABLE where the connection breaks."""
    with reply:
        try:
            yield from reply.raw.stream(chunk, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise DrError(UNAVAILABLE, f"cannot read {where}: the connection broke") from error


def stored_crc(reply: requests.Response) -> str | None:
    """Base64 crc32c of the whole object, as the server has it."""
    hashes = (part.strip() for part in reply.headers.get("x-goog-hash", "").split(","))
    return next((part.removeprefix("crc32c=") for part in hashes if part.startswith("crc32c=")), None)
