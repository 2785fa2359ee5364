"""What Cloud Logging still holds, read page by page (`entries.list`, by REST)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dr.errors import REJECTED, UNAVAILABLE, DrError
from dr.vendors.google import GoogleAccess, translate
from dr.vendors.loading import preload
from dr.vendors.retry import with_retry
from dr.vendors.sinks import HOST, body_of

if TYPE_CHECKING:
    from google.auth.transport.requests import AuthorizedSession

PAGE = 1000
"""The most that the API gives at once."""
NEWEST_FIRST = "timestamp desc"
_TIMEOUT_S = 60
_ATTEMPTS, _DEADLINE_S = 20, 180
"""The quota is 60 requests a minute for the whole project: who asks for many pages waits it out."""


@dataclass(frozen=True, slots=True)
class LogEntries:
    """One identity's way to the entries of a project."""

    access: GoogleAccess

    def newest(self, project: str, wanted: str, page: int = PAGE) -> Iterator[Mapping[str, Any]]:
        """Entries that the filter wants, newest first, one page in memory. Raises DrError NOT_AUTHORISED, REJECTED (the filter
        cannot be read), UNREACHABLE, UNAVAILABLE."""
        session, token = self.access.session(), ""
        body = {"resourceNames": [f"projects/{project}"], "filter": wanted, "orderBy": NEWEST_FIRST, "pageSize": page}
        while True:
            answer = self._page(session, {**body, **({"pageToken": token} if token else {})})
            yield from _entries(answer)
            # a page may be empty although there is more: only the missing token is the end
            following = str(answer.get("nextPageToken", ""))
            if not following:
                return
            if following == token:
                raise DrError(UNAVAILABLE, f"Cloud Logging gives the same page of {project} again and again")
            token = following

    def _page(self, session: AuthorizedSession, body: Mapping[str, object]) -> Mapping[str, Any]:
        url, what = f"https://{self.access.logging_endpoint or HOST}/v2/entries:list", "list log entries"
        return with_retry(lambda: _post(session, url, body), what=what, attempts=_ATTEMPTS, deadline_s=_DEADLINE_S)


def _entries(answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for entry in answer.get("entries", ()):
        if not isinstance(entry, dict):
            raise DrError(REJECTED, "Cloud Logging answered with an entry that is none")
        yield entry


def _post(session: AuthorizedSession, url: str, body: Mapping[str, object]) -> Mapping[str, Any]:
    preload("requests")
    try:
        return body_of(session.post(url, json=body, timeout=_TIMEOUT_S))
    except Exception as error:
        raise translate(error, "list log entries") from error
