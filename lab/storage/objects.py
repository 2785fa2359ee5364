"""Verbs on single objects: metadata, downloads, deletion, changes of metadata, undeletion."""

import os
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from email.utils import formatdate

from lab.storage import policy
from lab.storage.failures import ApiError, no_object
from lab.storage.model import Bucket, Content, Json, Object, State
from lab.storage.payloads import read
from lab.storage.resources import OBJECT_SETTINGS, etag, object_resource, pick
from lab.storage.service import Service
from lab.storage.wire import Request, Response, json_response

RANGE = re.compile(r"bytes=(\d*)-(\d*)")
FIXED = ("storageClass",)
NESTED = ("metadata", "retention")
XML_CONDITIONS = {
    "ifGenerationMatch": "x-goog-if-generation-match",
    "ifMetagenerationMatch": "x-goog-if-metageneration-match",
}


def resource_response(request: Request, bucket: Bucket, item: Object) -> Response:
    """An object's resource, reduced to `fields`."""
    return json_response(pick(object_resource(bucket, item, request.base), request.query.get("fields", "")))


async def get(service: Service, request: Request, bucket_name: str, name: str) -> Response:
    """GET /b/B/o/O: the resource, or with alt=media the bytes."""
    bucket, item = _readable(service, request, bucket_name, name)
    if request.query.get("alt") == "media":
        return media(service, request, item)
    return resource_response(request, bucket, item)


async def download(service: Service, request: Request, bucket_name: str, name: str) -> Response:
    """GET /download/... and the XML API's GET /B/O."""
    return media(service, request, _readable(service, request, bucket_name, name)[1])


def media(service: Service, request: Request, item: Object) -> Response:
    """Bytes of a generation, whole or the range that is asked for."""
    start, length, status = _range(request.headers.get("range", ""), item.size)
    headers = _media_headers(item, length)
    if status == 206:
        headers.append(("Content-Range", f"bytes {start}-{start + length - 1}/{item.size}"))
    service.stats["bytes_out"] += length
    if request.method == "HEAD":
        return Response(status, headers, stream=_nothing(), length=length)
    inline = service.index.inline(item.payload)
    if inline is not None:
        return Response(status, headers, inline[start : start + length])
    file = service.payloads.open(item.payload)
    # a payload that was damaged on disk is served as it is: to find that out is the reader's business
    length = min(length, max(0, os.fstat(file.fileno()).st_size - start))
    return Response(status, headers, stream=read(file, start, length), length=length)


async def delete(service: Service, request: Request, bucket_name: str, name: str) -> Response:
    """DELETE /b/B/o/O: without a generation a versioned bucket keeps it as noncurrent."""
    service.allow(request.identity, "storage.objects.delete", bucket_name, name)
    bucket = service.bucket(bucket_name)
    item = service.find(bucket_name, name, {key: request.query[key] for key in ("generation",) if key in request.query})
    policy.conditions(request.query).check_object(item)
    service.remove(bucket, item, archive=bucket.versioned and not request.query.get("generation"))
    return Response(204)


async def patch(service: Service, request: Request, bucket_name: str, name: str) -> Response:
    """PATCH /b/B/o/O: merges; null removes."""
    body = await request.json()
    return _change(service, request, bucket_name, name, body, merge=True)


async def update(service: Service, request: Request, bucket_name: str, name: str) -> Response:
    """PUT /b/B/o/O: replaces all that can be written."""
    body = await request.json()
    return _change(service, request, bucket_name, name, body, merge=False)


async def restore(service: Service, request: Request, bucket_name: str, name: str) -> Response:
    """POST /b/B/o/O/restore?generation=G: a soft-deleted generation comes back as a new one."""
    service.allow(request.identity, "storage.objects.restore", bucket_name, name)
    if not request.query.get("generation"):
        raise ApiError(400, "required", "Required parameter: generation")
    bucket = service.bucket(bucket_name)
    item = service.find(bucket_name, name, {**request.query, "softDeleted": "true"})
    content = Content(item.payload, item.size, item.crc32c, item.md5)
    kept = {key: value for key, value in item.settings.items() if key != "retention"}
    when = policy.conditions(request.query)
    created = service.create(bucket, name, content, kept, request.identity, when)
    if item.components:
        created = replace(created, components=item.components)
        service.index.put(created)
    return resource_response(request, bucket, created)


def _readable(service: Service, request: Request, bucket_name: str, name: str) -> tuple[Bucket, Object]:
    service.allow(request.identity, "storage.objects.get", bucket_name, name)
    bucket = service.bucket(bucket_name)
    query = request.query
    item = service.find(bucket_name, name, query)
    policy.conditions(query).check_object(item, reading=True)
    _check_xml(request, item)
    return bucket, item


def _check_xml(request: Request, item: Object) -> None:
    """The XML API states its preconditions in headers."""
    stated = {key: request.headers[header] for key, header in XML_CONDITIONS.items() if header in request.headers}
    policy.conditions(stated).check_object(item, reading=True)


def _change(service: Service, request: Request, bucket_name: str, name: str, body: Json, *, merge: bool) -> Response:
    service.allow(request.identity, "storage.objects.update", bucket_name, name)
    bucket = service.bucket(bucket_name)
    item = service.find(bucket_name, name, request.query)
    if item.state == State.SOFT_DELETED:
        raise no_object(bucket_name, name)
    policy.conditions(request.query).check_object(item)
    base = dict(item.settings) if merge else {key: item.settings[key] for key in FIXED if key in item.settings}
    settings = _merge(base, body)
    override = request.flag("overrideUnlockedRetention")
    changed = service.update(bucket, item, settings, request.identity, override=override)
    return resource_response(request, bucket, changed)


def _merge(base: dict[str, object], body: Json) -> Json:
    for key in OBJECT_SETTINGS:
        if key not in body or key in FIXED:
            continue
        new, before = body[key], base.get(key)
        if key in NESTED and isinstance(new, Mapping):
            old = before if isinstance(before, Mapping) else {}
            new = {name: value for name, value in {**old, **new}.items() if value is not None}
        if new is None or new == {}:
            base.pop(key, None)
        else:
            base[key] = new
    return base


def _range(header: str, size: int) -> tuple[int, int, int]:
    """(start, length, status); 416 when nothing of it exists. Several ranges are answered with the whole."""
    match = RANGE.fullmatch(header.strip())
    if match is None or match.group(0) == "bytes=-":
        return 0, size, 200
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
    if start >= end:
        unsatisfiable = (("Content-Range", f"bytes */{size}"),)
        message = f"Request range not satisfiable: {header}"
        raise ApiError(416, "requestedRangeNotSatisfiable", message, unsatisfiable)
    return start, end - start, 206


def _media_headers(item: Object, length: int) -> list[tuple[str, str]]:
    settings, hashes = item.settings, f"crc32c={item.crc32c}" + (f",md5={item.md5}" if item.md5 else "")
    encoding = str(settings.get("contentEncoding") or "")
    headers = [
        ("Content-Type", str(settings.get("contentType") or "application/octet-stream")),
        ("X-Goog-Hash", hashes),
        ("X-Goog-Generation", str(item.generation)),
        ("X-Goog-Metageneration", str(item.metageneration)),
        ("X-Goog-Storage-Class", str(settings.get("storageClass") or "STANDARD")),
        ("X-Goog-Stored-Content-Length", str(item.size)),
        ("X-Goog-Stored-Content-Encoding", encoding or "identity"),
        ("Last-Modified", formatdate(item.updated_us // 1_000_000, usegmt=True)),
        ("ETag", f'"{etag(item)}"'),
        ("Accept-Ranges", "bytes"),
    ]
    optional = {"Content-Encoding": encoding, "Cache-Control": str(settings.get("cacheControl") or "")}
    return headers + [(key, value) for key, value in optional.items() if value]


async def _nothing() -> AsyncIterator[bytes]:
    yield b""
