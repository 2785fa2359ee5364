"""`entries.list`: its limits, its errors, its pages."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dr.plan.permissions import READ_ENTRIES
from lab.cloudlog.book import FIRST, LAST, Key, LogBook, Written
from lab.cloudlog.filters import Unparseable, Wants, parse
from lab.iam import Iam, Unauthenticated

LIST, LIST_PRIVATE = READ_ENTRIES
MOST, DEFAULT = 1000, 50
SCANNED = 5000
"""Entries that one call looks at: a page may come back empty, with a token to go on."""
PER_MINUTE = 60
ORDERS = {"": False, "timestamp asc": False, "timestamp desc": True}
FIELDS = ("resourceNames", "projectIds", "filter", "orderBy", "pageSize", "pageToken")
Answer = tuple[int, dict[str, object]]


class Refused(Exception):
    """HTTP status, Google's word for it, and its sentence."""

    def __init__(self, status: int, word: str, message: str) -> None:
        super().__init__(message)
        self.status, self.word, self.message = status, word, message

    @property
    def answer(self) -> Answer:
        return self.status, {"error": {"code": self.status, "message": self.message, "status": self.word}}


def invalid(message: str) -> Refused:
    return Refused(400, "INVALID_ARGUMENT", message)


@dataclass(frozen=True, slots=True)
class Query:
    """A request that can be answered."""

    wants: Wants
    descending: bool
    size: int
    mark: str
    """Of the arguments that every page of one listing shares."""
    after: Key | None


@dataclass
class Entries:
    """The method, over one book. `per_minute`: calls that the project may make."""

    iam: Iam
    book: LogBook
    per_minute: int = PER_MINUTE
    clock: Callable[[], float] = time.monotonic
    _calls: deque[float] = field(default_factory=deque)

    def list(self, authorization: str | None, request: object) -> Answer:
        """HTTP status and body."""
        try:
            caller = self.iam.identify(authorization)
            body, private = self._admitted(caller, request)
            self._counted()
            return 200, self._page(query_of(body), private)
        except Unauthenticated as error:
            return Refused(401, "UNAUTHENTICATED", str(error)).answer
        except Refused as refused:
            return refused.answer

    def _admitted(self, caller: str, request: object) -> tuple[Mapping[str, Any], bool]:
        """The request, and whether private logs may be seen: whoever may not is shown the rest, and is not told."""
        body = _checked(request)
        for name in body["resourceNames"]:
            kind, _, project = str(name).partition("/")
            if kind != "projects" or not project or "/" in project:
                raise invalid(f"The name {name!r} is not a resource name that the lab knows: projects/PROJECT")
            if project != self.iam.project or not self.iam.allowed(caller, LIST, str(name)):
                raise Refused(
                    403, "PERMISSION_DENIED", f"Permission '{LIST}' denied on resource (or it may not exist)."
                )
        return body, self.iam.allowed(caller, LIST_PRIVATE, f"projects/{self.iam.project}")

    def _counted(self) -> None:
        now = self.clock()
        while self._calls and self._calls[0] <= now - 60:
            self._calls.popleft()
        if len(self._calls) >= self.per_minute:
            message = "Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute'"
            raise Refused(429, "RESOURCE_EXHAUSTED", f"{message} of service 'logging.googleapis.com'.")
        self._calls.append(now)

    def _page(self, query: Query, private: bool) -> dict[str, object]:
        found, last, scanned = list[Mapping[str, Any]](), None, 0
        for one in self._following(query):
            scanned, last = scanned + 1, one.key
            if (private or not one.private) and query.wants(one.entry):
                found.append(one.entry)
            if len(found) == query.size:
                break
        more = len(found) == query.size or scanned == SCANNED
        token = {"nextPageToken": _token(last, query.mark)} if more and last else {}
        return {**({"entries": found} if found else {}), **token}

    def _following(self, query: Query) -> Iterator[Written]:
        low, high = FIRST, LAST
        if query.after is not None:
            low, high = (low, query.after) if query.descending else (query.after, high)
        return self.book.walk(low, high, query.descending, SCANNED)


def _checked(request: object) -> Mapping[str, Any]:
    if not isinstance(request, dict):
        raise invalid("Invalid JSON payload received.")
    for name in request:
        if name not in FIELDS:
            raise invalid(f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')
    names = request.get("resourceNames")
    if not isinstance(names, list) or not 1 <= len(names) <= 100:
        raise invalid("The request must name between 1 and 100 resources.")
    return request


def query_of(body: Mapping[str, Any]) -> Query:
    """Raises Refused."""
    order, text = str(body.get("orderBy", "")), str(body.get("filter", ""))
    if order not in ORDERS:
        raise invalid(f"Invalid order_by: {order!r}; 'timestamp asc' and 'timestamp desc' are known")
    try:
        wants = parse(text)
    except Unparseable as error:
        raise invalid(f"Unparseable filter: {error}") from None
    mark = hashlib.sha256(json.dumps([sorted(body["resourceNames"]), text, order]).encode()).hexdigest()[:16]
    return Query(wants, ORDERS[order], _size(body.get("pageSize", 0)), mark, _after(body.get("pageToken", ""), mark))


def _size(value: object) -> int:
    try:
        size = int(str(value))
    except ValueError:
        raise invalid(f"Invalid value at 'page_size' (TYPE_INT32), {value!r}") from None
    if not 0 <= size <= MOST:
        raise invalid(f"page_size must be between 0 and {MOST}: {size}")
    return size or DEFAULT


def _token(last: Key, mark: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([mark, *last]).encode()).decode()


def _after(token: object, mark: str) -> Key | None:
    if not token:
        return None
    try:
        made_for, at, log, named = json.loads(base64.urlsafe_b64decode(str(token)))
    except ValueError:
        raise invalid("page_token is invalid") from None
    if made_for != mark:
        raise invalid("page_token doesn't match arguments from the request")
    return int(at), str(log), str(named)
