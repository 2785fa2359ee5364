"""A sink of Cloud Logging, read for checks: where it sends entries and whether it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dr.errors import NOT_FOUND, DrError
from dr.vendors.google import GoogleAccess, translate
from dr.vendors.loading import preload
from dr.vendors.retry import with_retry

if TYPE_CHECKING:
    from requests import Response

HOST = "logging.googleapis.com"
_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class Sink:
    """`destination` for Pub/Sub: `pubsub.googleapis.com/projects/P/topics/T`."""

    destination: str
    filtered: str
    disabled: bool
    writer: str
    """The identity that publishes."""
    exclusions: tuple[str, ...] = ()
    """Filters of what is not sent although `filtered` wants it; those that are not switched off."""


@dataclass(frozen=True, slots=True)
class Sinks:
    """One identity's way to the Logging API, by REST."""

    access: GoogleAccess

    def sink(self, project: str, name: str) -> Sink | None:
        """None when there is none. Raises DrError NOT_AUTHORISED, UNREACHABLE."""
        url = f"https://{self.access.logging_endpoint or HOST}/v2/projects/{quote(project)}/sinks/{quote(name)}"
        try:
            found = with_retry(lambda: _get(self.access, url, name), what=f"read sink {name}", deadline_s=_TIMEOUT_S)
        except DrError as error:
            if error.kind is NOT_FOUND:
                return None
            raise
        told = {key: str(found.get(key, "")) for key in ("destination", "filter", "writerIdentity")}
        without = tuple(str(one["filter"]) for one in found.get("exclusions", ()) if not one.get("disabled"))
        return Sink(told["destination"], told["filter"], bool(found.get("disabled")), told["writerIdentity"], without)


def _get(access: GoogleAccess, url: str, name: str) -> Mapping[str, Any]:
    preload("requests")
    try:
        return body_of(access.session().get(url, timeout=_TIMEOUT_S))
    except Exception as error:
        raise translate(error, f"read sink {name}") from error


def body_of(answer: Response) -> Mapping[str, Any]:
    """What the API answered. Raises requests.RequestException in the API's own words, which name what is missing."""
    preload("requests")
    from requests import HTTPError

    if answer.status_code >= 400:
        raise HTTPError(_words(answer), response=answer)
    body = answer.json()
    assert isinstance(body, dict)
    return body


def _words(answer: Response) -> str:
    """What stands between us and the API may answer with anything."""
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} {answer.reason}"
