"""Listings: ordered walks of the index that skip whole folders instead of reading them."""

import base64
import json
from dataclasses import dataclass, field

from lab.storage.failures import invalid
from lab.storage.model import Object, State
from lab.storage.resources import object_resource, pick
from lab.storage.service import Service
from lab.storage.wire import Request, Response, json_response

MAX_RESULTS = 1000
LAST = "\U0010ffff"
FOLDER_BATCH = 64


@dataclass(slots=True)
class Page:
    """What one answer holds; `position` is where the next one goes on."""

    items: list[Object] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    position: tuple[str, int] = ("", 0)
    more: bool = False


async def collection(service: Service, request: Request, bucket_name: str) -> Response:
    """GET /b/B/o with prefix, delimiter, startOffset, endOffset, pageToken, maxResults, versions, softDeleted, fields."""
    service.allow(request.identity, "storage.objects.list", bucket_name)
    bucket = service.bucket(bucket_name)
    page = walk(service, request, bucket_name)
    answer: dict[str, object] = {"kind": "storage#objects"}
    if page.more:
        answer["nextPageToken"] = base64.urlsafe_b64encode(json.dumps(page.position).encode()).decode()
    if page.prefixes:
        answer["prefixes"] = page.prefixes
    if page.items:
        answer["items"] = [object_resource(bucket, item, request.base) for item in page.items]
    service.stats["listed"] += len(page.items)
    return json_response(pick(answer, request.query.get("fields", "")))


def walk(service: Service, request: Request, bucket: str) -> Page:
    """Collect one page."""
    query, page = request.query, Page(position=_begin(request))
    limit, delimiter, prefix = _limit(query.get("maxResults", "")), query.get("delimiter", ""), query.get("prefix", "")
    below = min(filter(None, (query.get("endOffset", ""), prefix + LAST)))
    now = service.clock.now_us()
    while True:
        room = limit - len(page.items) - len(page.prefixes)
        batch = min(room, FOLDER_BATCH) if delimiter else room
        rows = list(service.index.after(bucket, _states(request), page.position, below=below, limit=batch + 1))
        jumped = False
        for item in rows[:batch]:
            cut = item.name.find(delimiter, len(prefix)) if delimiter else -1
            if cut >= 0:
                folder = item.name[: cut + len(delimiter)]
                page.prefixes.append(folder)
                page.position, jumped = (folder + LAST, 0), True
                break
            page.position = (item.name, item.generation)
            if item.state != State.SOFT_DELETED or item.hard_delete_us > now:
                page.items.append(item)
        full = len(page.items) + len(page.prefixes) >= limit
        if not jumped and len(rows) <= batch:
            return page
        if full:
            page.more = (
                next(service.index.after(bucket, _states(request), page.position, below=below, limit=1), None)
                is not None
            )
            return page


def _states(request: Request) -> tuple[State, ...]:
    if request.flag("softDeleted"):
        return (State.SOFT_DELETED,)
    return (State.LIVE, State.NONCURRENT) if request.flag("versions") else (State.LIVE,)


def _begin(request: Request) -> tuple[str, int]:
    """The position before the first row: the page token, or just below the prefix and the start offset."""
    token = request.query.get("pageToken")
    if not token:
        return max(request.query.get("startOffset", ""), request.query.get("prefix", "")), -1
    try:
        name, generation = json.loads(base64.urlsafe_b64decode(token))
        return str(name), int(generation)
    except ValueError as error:
        raise invalid("Invalid pageToken.") from error


def _limit(text: str) -> int:
    if text and not text.isdigit():
        raise invalid(f"Invalid maxResults: {text}")
    return min(int(text), MAX_RESULTS) if text and int(text) else MAX_RESULTS
