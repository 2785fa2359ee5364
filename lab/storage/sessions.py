"""Resumable uploads: sessions that survive a crash of the server at their last acknowledged byte."""

import asyncio
import json
import os
import re
import secrets
from dataclasses import replace
from pathlib import Path

from lab.storage.failures import ApiError, invalid, no_object
from lab.storage.model import Content, Session
from lab.storage.objects import resource_response
from lab.storage.payloads import INLINE, Digest, digest_file, inline_name
from lab.storage.service import Service
from lab.storage.uploads import commit, object_name, precheck
from lab.storage.wire import Disconnected, Request, Response

QUANTUM = 256 * 1024
CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


async def start(service: Service, request: Request, bucket: str) -> Response:
    """POST ...?uploadType=resumable: the session's address in Location."""
    metadata = dict(await request.json())
    name = object_name(request, metadata)
    await service.faults.apply(request, bucket, name)
    precheck(service, request, bucket, name)
    kind = metadata.get("contentType") or request.headers.get("x-upload-content-type")
    metadata["contentType"] = kind or "application/octet-stream"
    identifier = secrets.token_urlsafe(24)
    query = json.dumps({key: value for key, value in request.query.items() if key != "uploadType"})
    service.index.put_session(Session(identifier, bucket, name, request.identity, query, metadata))
    service.payloads.session_file(identifier).touch()
    location = f"{request.base}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={identifier}"
    return Response(200, [("Location", location), ("X-GUploader-UploadID", identifier)])


async def proceed(service: Service, request: Request) -> Response:
    """PUT on a session: a chunk, the rest, or `bytes */N` to ask how far it came. The address is its own authority."""
    session = _session(service, request)
    await service.faults.apply(request, session.bucket, session.name)
    if session.generation:
        return _finished(service, request, session)
    if session.id in service.busy:
        raise ApiError(503, "backendError", "Another request of this upload is still under way.")
    service.busy.add(session.id)
    try:
        return await _proceed(service, request, session)
    finally:
        service.busy.discard(session.id)


async def _proceed(service: Service, request: Request, session: Session) -> Response:
    first, total = _content_range(request, session)
    if first is None:
        done = total is not None and total == session.received
        return await _finish(service, request, session) if done else _incomplete(request, session)
    if first > session.received:
        raise ApiError(503, "backendError", f"The chunk begins at {first}, but {session.received} bytes are stored.")
    received, whole = await _append(service, request, session, skip=session.received - first)
    if whole and "content-range" not in request.headers:
        total = received
    if total is not None and received > total:
        raise invalid("More bytes were sent than the Content-Range announces.")
    kept = received if received == total else received - received % QUANTUM
    session = replace(session, received=max(kept, session.received))
    if session.received == total:
        return await _finish(service, request, session)
    service.index.put_session(session)
    if not whole:
        await service.index.settled()
        raise Disconnected
    return _incomplete(request, session)


async def cancel(service: Service, request: Request) -> Response:
    """DELETE on a session."""
    session = _session(service, request)
    service.index.drop_session(session.id)
    service.payloads.session_file(session.id).unlink(missing_ok=True)
    return Response(499)


async def _append(service: Service, request: Request, session: Session, skip: int) -> tuple[int, bool]:
    """Write the body behind what is durable and fsync it; the file's length, and whether all of the body came.

    A body that breaks off counts as far as it came, in whole quanta.
    """
    whole = True
    path = service.payloads.session_file(session.id)
    with path.open("r+b", buffering=0) as file:
        file.truncate(session.received)
        file.seek(session.received)
        try:
            async for chunk in request.chunks():
                file.write(chunk[skip:])
                skip -= min(skip, len(chunk))
        except Disconnected:
            whole = False
        await asyncio.to_thread(os.fsync, file.fileno())
        return file.tell(), whole


async def _finish(service: Service, request: Request, session: Session) -> Response:
    path = service.payloads.session_file(session.id)
    digest = await asyncio.to_thread(digest_file, path)
    content = await _content(service, digest, path)
    stated = _as_opened(request, session)
    try:
        item = commit(service, stated, session.bucket, session.name, session.settings, content)
    except ApiError:
        service.index.drop_session(session.id)
        path.unlink(missing_ok=True)
        raise
    service.index.put_session(replace(session, generation=item.generation))
    service.index.after_commit(lambda: path.unlink(missing_ok=True))
    return resource_response(stated, service.bucket(session.bucket), item)


async def _content(service: Service, digest: Digest, path: Path) -> Content:
    if digest.size <= INLINE:
        return digest.content(inline_name(), path.read_bytes())
    linked = service.payloads.incoming()
    os.link(path, linked)  # the session keeps its bytes until the object is committed
    return digest.content(await asyncio.to_thread(service.payloads.adopt, linked))


def _as_opened(request: Request, session: Session) -> Request:
    """The request as its session was opened: with those preconditions, and as that identity."""
    return replace(request, query=json.loads(session.query), identity=session.identity)


def _finished(service: Service, request: Request, session: Session) -> Response:
    item = service.index.version(session.bucket, session.name, session.generation)
    if item is None:
        raise no_object(session.bucket, session.name)
    return resource_response(_as_opened(request, session), service.bucket(session.bucket), item)


def _incomplete(request: Request, session: Session) -> Response:
    """308, or for clients that take it for a redirect 200 with an override header."""
    headers = [("Range", f"bytes=0-{session.received - 1}")] if session.received else []
    if request.headers.get("x-guploader-no-308", "").lower() == "yes":
        return Response(200, [*headers, ("X-Http-Status-Code-Override", "308")])
    return Response(308, headers)


def _content_range(request: Request, session: Session) -> tuple[int | None, int | None]:
    """(first byte or None for a question, total or None while unknown)."""
    header = request.headers.get("content-range", "")
    if not header:
        return 0, None
    match = CONTENT_RANGE.fullmatch(header.strip())
    if match is None:
        raise invalid(f"Invalid Content-Range: {header}")
    first, _, total = match.groups()
    return (int(first) if first else None), (None if total == "*" else int(total))


def _session(service: Service, request: Request) -> Session:
    session = service.index.session(request.query.get("upload_id", ""))
    if session is None:
        raise ApiError(404, "notFound", "Not Found: no such resumable upload.")
    return session
