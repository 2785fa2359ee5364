"""Uploads in one request (media, multipart); resumable ones are in `sessions`."""

from collections.abc import AsyncIterator

from lab.storage import policy
from lab.storage.failures import ApiError, invalid
from lab.storage.model import Content, Json, Object
from lab.storage.multipart import Related, boundary_of
from lab.storage.objects import resource_response
from lab.storage.service import Service, check_name
from lab.storage.wire import Request, Response


async def insert(service: Service, request: Request, bucket: str) -> Response:
    """POST /upload/storage/v1/b/B/o?uploadType=media|multipart."""
    if request.query.get("uploadType") == "multipart":
        related = Related(request.chunks(), boundary_of(request.headers.get("content-type", "")))
        metadata, content_type = await related.head()
        return await _store(service, request, bucket, _described(metadata, content_type), related.media())
    metadata = _described({}, request.headers.get("content-type", ""))
    return await _store(service, request, bucket, metadata, request.chunks())


async def _store(
    service: Service, request: Request, bucket_name: str, metadata: Json, chunks: AsyncIterator[bytes]
) -> Response:
    name = object_name(request, metadata)
    await service.faults.apply(request, bucket_name, name)
    precheck(service, request, bucket_name, name)
    spool = service.payloads.spool()
    try:
        async for chunk in chunks:
            spool.write(chunk)
        content = await spool.finish()
    except BaseException:
        spool.discard()
        raise
    item = commit(service, request, bucket_name, name, metadata, content)
    return resource_response(request, service.bucket(bucket_name), item)


def precheck(service: Service, request: Request, bucket_name: str, name: str) -> None:
    """Refuse early what would be refused at the commit, before the bytes travel."""
    check_name(name)
    service.allow(request.identity, "storage.objects.create", bucket_name, name)
    service.bucket(bucket_name)
    policy.conditions(request.query).check_object(service.index.live(bucket_name, name))


def commit(service: Service, request: Request, bucket_name: str, name: str, metadata: Json, content: Content) -> Object:
    """Make uploaded content the live generation. A payload that is refused is removed."""
    try:
        check_hashes(request, metadata, content)
        when = policy.conditions(request.query)
        bucket = service.bucket(bucket_name)
        item = service.create(bucket, name, content, metadata, request.identity, when)
    except ApiError:
        service.payloads.remove(content.payload)
        raise
    service.stats["bytes_in"] += content.size
    return item


def check_hashes(request: Request, metadata: Json, content: Content) -> None:
    """400 when a checksum that the caller sent (in the metadata or in X-Goog-Hash) differs from what arrived."""
    stated = dict(
        part.strip().partition("=")[::2] for part in request.headers.get("x-goog-hash", "").split(",") if part
    )
    crc = str(metadata.get("crc32c") or stated.get("crc32c") or content.crc32c)
    md5 = str(metadata.get("md5Hash") or stated.get("md5") or request.headers.get("content-md5") or content.md5)
    for label, given, found in (("CRC32C", crc, content.crc32c), ("MD5 hash", md5, content.md5)):
        if given != found:
            raise invalid(f'Provided {label} "{given}" doesn\'t match calculated {label} "{found}".')


def object_name(request: Request, metadata: Json) -> str:
    """From the query or the metadata; 400 without one."""
    name = request.query.get("name") or str(metadata.get("name") or "")
    if not name:
        raise ApiError(400, "required", "Required parameter: name")
    return name


def _described(metadata: Json, content_type: str) -> Json:
    return {**metadata, "contentType": metadata.get("contentType") or content_type or "application/octet-stream"}
