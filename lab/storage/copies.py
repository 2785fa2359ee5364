"""Server-side copies: rewrite, copy and compose."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import BinaryIO

from lab.storage import policy
from lab.storage.failures import ApiError, invalid
from lab.storage.model import Content, Json, Object
from lab.storage.objects import resource_response
from lab.storage.payloads import INLINE, Digest, concatenate, inline_name
from lab.storage.resources import object_resource, pick
from lab.storage.service import Service
from lab.storage.wire import Request, Response, json_response

MAX_COMPOSE = 32
NOT_COPIED = ("retention", "temporaryHold", "eventBasedHold")


async def copy(service: Service, request: Request, source: tuple[str, str], target: tuple[str, str]) -> Response:
    """POST /b/SB/o/SO/copyTo/b/DB/o/DO."""
    item = await _copy(service, request, source, target)
    return resource_response(request, service.bucket(target[0]), item)


async def rewrite(service: Service, request: Request, source: tuple[str, str], target: tuple[str, str]) -> Response:
    """POST /b/SB/o/SO/rewriteTo/b/DB/o/DO: always done in one call, since both sides share the payload."""
    item = await _copy(service, request, source, target)
    answer = {
        "kind": "storage#rewriteResponse",
        "done": True,
        "totalBytesRewritten": str(item.size),
        "objectSize": str(item.size),
        "resource": object_resource(service.bucket(target[0]), item, request.base),
    }
    return json_response(pick(answer, request.query.get("fields", "")))


async def _copy(service: Service, request: Request, source: tuple[str, str], target: tuple[str, str]) -> Object:
    body = await request.json()
    service.allow(request.identity, "storage.objects.get", *source)
    service.bucket(source[0])
    item = service.find(*source, request.query, "sourceGeneration")
    policy.conditions(request.query, "ifSource").check_object(item)
    given = {key: value for key, value in body.items() if value is not None}
    kept = {key: value for key, value in item.settings.items() if key not in NOT_COPIED}
    settings = {**_inherited(kept), **given} if given else kept
    content = Content(item.payload, item.size, item.crc32c, item.md5)
    when, bucket = policy.conditions(request.query), service.bucket(target[0])
    created = service.create(bucket, target[1], content, settings, request.identity, when)
    return _with_components(service, created, item.components)


async def compose(service: Service, request: Request, bucket_name: str, name: str) -> Response:
    """POST /b/B/o/O/compose: up to 32 sources of the same bucket, one after the other."""
    body = await request.json()
    bucket = service.bucket(bucket_name)
    sources = list(_sources(service, request, bucket_name, body))
    service.allow(request.identity, "storage.objects.create", bucket_name, name)
    policy.conditions(request.query).check_object(service.index.live(bucket_name, name))
    parts = [_open(service, item) for item in sources]
    if sum(item.size for item in sources) <= INLINE and all(isinstance(part, bytes) for part in parts):
        content = _joined(b"".join(part for part in parts if isinstance(part, bytes)))
    else:
        content = await asyncio.to_thread(concatenate, service.payloads, parts)
    destination = body.get("destination")
    settings = destination if isinstance(destination, Mapping) else {}
    content, when = replace(content, md5=""), policy.conditions(request.query)
    try:
        created = service.create(bucket, name, content, settings, request.identity, when)
    except ApiError:
        service.payloads.remove(content.payload)
        raise
    created = _with_components(service, created, sum(item.components or 1 for item in sources))
    if request.flag("deleteSourceObjects"):
        _delete_sources(service, request, sources)
    return resource_response(request, bucket, created)


def _sources(service: Service, request: Request, bucket: str, body: Json) -> Iterator[Object]:
    listed = body.get("sourceObjects")
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_COMPOSE:
        raise invalid(f"The number of source components must be between 1 and {MAX_COMPOSE}.")
    for entry in listed:
        name = str(entry.get("name", ""))
        service.allow(request.identity, "storage.objects.get", bucket, name)
        query = {"generation": str(entry["generation"])} if entry.get("generation") else {}
        item = service.find(bucket, name, query)
        stated = {key: str(value) for key, value in (entry.get("objectPreconditions") or {}).items()}
        policy.conditions(stated).check_object(item)
        yield item


def _delete_sources(service: Service, request: Request, sources: list[Object]) -> None:
    for item in sources:
        service.allow(request.identity, "storage.objects.delete", item.bucket, item.name)
        bucket = service.bucket(item.bucket)
        service.remove(bucket, item, archive=bucket.versioned)


def _open(service: Service, item: Object) -> bytes | BinaryIO:
    inline = service.index.inline(item.payload)
    return inline if inline is not None else service.payloads.open(item.payload)


def _joined(data: bytes) -> Content:
    digest = Digest()
    digest.update(data)
    return digest.content(inline_name(), data)


def _with_components(service: Service, item: Object, components: int) -> Object:
    if not components:
        return item
    counted = replace(item, components=components)
    service.index.put(counted)
    return counted


def _inherited(kept: Json) -> Json:
    """A copy with metadata of its own takes only these from its source."""
    return {key: kept[key] for key in ("storageClass", "contentType") if key in kept}
