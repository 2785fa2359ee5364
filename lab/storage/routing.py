"""From a request to its handler and back: identity, routes, faults, errors, durability before the answer."""

import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import unquote
from xml.sax.saxutils import escape

from starlette.types import Receive, Scope, Send

from lab.iam import Unauthenticated
from lab.storage import batch, buckets, copies, listing, objects, sessions, uploads
from lab.storage.failures import ApiError, unauthenticated
from lab.storage.service import Service
from lab.storage.wire import JSON_TYPE, Disconnected, Request, Response, deliver, request_of

Handled = Awaitable[Response]
BUCKET_VERBS: dict[str, Callable[[Service, Request, str], Handled]] = {
    "GET": buckets.get,
    "PATCH": buckets.patch,
    "PUT": buckets.update,
    "DELETE": buckets.delete,
}
OBJECT_VERBS: dict[str, Callable[[Service, Request, str, str], Handled]] = {
    "GET": objects.get,
    "HEAD": objects.get,
    "PATCH": objects.patch,
    "PUT": objects.update,
    "DELETE": objects.delete,
}
OBJECT_ACTIONS: dict[str, Callable[[Service, Request, str, str], Handled]] = {
    "compose": copies.compose,
    "restore": objects.restore,
}
XML_CODES = {401: "AuthenticationRequired", 403: "AccessDenied", 404: "NoSuchKey", 412: "PreconditionFailed"}


@dataclass(slots=True)
class Front:
    """The ASGI application of one listener; `anonymous` is who a caller without a token is ("" refuses him)."""

    service: Service
    anonymous: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = request_of(scope, receive)
        try:
            response = await self.respond(request)
            await self.service.index.settled()
        except Disconnected:
            return
        except sqlite3.Error as error:
            response = _failed(request, ApiError(503, "backendError", f"The store could not commit: {error}"))
        self.service.stats["requests"] += 1
        self.service.stats[f"status_{response.status}"] += 1
        await deliver(response, self.service.clock.date(), scope, send, request.fault)

    async def respond(self, request: Request) -> Response:
        """The answer to one request; ApiErrors become answers."""
        try:
            if "upload_id" not in request.query:
                request.identity = self._identify(request)
            if request.raw_path.startswith("/batch"):
                return await batch.serve(request, self.respond)
            return await route(self.service, request)
        except ApiError as error:
            return _failed(request, error)

    def _identify(self, request: Request) -> str:
        header = request.headers.get("authorization")
        if header is None and self.anonymous:
            return self.anonymous
        try:
            return self.service.iam.identify(header)
        except Unauthenticated as error:
            raise unauthenticated(str(error)) from error


async def route(service: Service, request: Request) -> Response:
    """Find and run the handler."""
    path = request.raw_path
    if path.startswith(("/upload/storage/v1/b/", "/resumable/upload/storage/v1/b/")):
        return await _upload(
            service, request, [unquote(part) for part in path.split("/upload/storage/v1/b/")[1].split("/")]
        )
    downloads = path.startswith("/download/storage/v1/")
    if downloads or path.startswith("/storage/v1/"):
        parts = [unquote(part) for part in path.split("/storage/v1/", 1)[1].split("/")]
        await service.faults.apply(request, *_target(parts))
        return await _json_api(service, request, parts, downloads)
    return await _xml_api(service, request)


async def _upload(service: Service, request: Request, parts: list[str]) -> Response:
    if len(parts) != 2 or parts[1] != "o":
        raise _no_route(request)
    if "upload_id" in request.query:
        return await (sessions.cancel if request.method == "DELETE" else sessions.proceed)(service, request)
    if request.method != "POST":
        raise _no_route(request)
    if request.query.get("uploadType") == "resumable":
        return await sessions.start(service, request, parts[0])
    return await uploads.insert(service, request, parts[0])


async def _json_api(service: Service, request: Request, parts: list[str], downloads: bool) -> Response:
    match (request.method, *parts):
        case (("GET" | "HEAD"), "b", bucket, "o", name) if downloads:
            return await objects.download(service, request, bucket, name)
        case (method, "b", bucket, "o", name) if method in OBJECT_VERBS:
            return await OBJECT_VERBS[method](service, request, bucket, name)
        case ("GET", "b", bucket, "o"):
            return await listing.collection(service, request, bucket)
        case ("POST", "b", bucket, "o", name, action) if action in OBJECT_ACTIONS:
            return await OBJECT_ACTIONS[action](service, request, bucket, name)
        case ("POST", "b", bucket, "o", name, ("copyTo" | "rewriteTo") as verb, "b", target, "o", copied):
            handler = copies.copy if verb == "copyTo" else copies.rewrite
            return await handler(service, request, (bucket, name), (target, copied))
    return await _buckets(service, request, parts)


async def _buckets(service: Service, request: Request, parts: list[str]) -> Response:
    match (request.method, *parts):
        case ("POST", "b"):
            return await buckets.create(service, request)
        case ("GET", "b"):
            return await buckets.collection(service, request)
        case (method, "b", bucket) if method in BUCKET_VERBS:
            return await BUCKET_VERBS[method](service, request, bucket)
        case ("POST", "b", bucket, "lockRetentionPolicy"):
            return await buckets.lock_retention(service, request, bucket)
        case ("GET", "b", bucket, "iam", "testPermissions"):
            return await buckets.test_permissions(service, request, bucket)
    raise _no_route(request)


async def _xml_api(service: Service, request: Request) -> Response:
    """Reads as the Go client makes them: GET or HEAD /bucket/object."""
    bucket, _, name = request.raw_path.lstrip("/").partition("/")
    if request.method not in ("GET", "HEAD") or not name:
        raise _no_route(request)
    await service.faults.apply(request, unquote(bucket), unquote(name))
    return await objects.download(service, request, unquote(bucket), unquote(name))


def _target(parts: list[str]) -> tuple[str, str]:
    """Bucket and object that a request is about, as far as the path says."""
    return (parts[1] if len(parts) > 1 else ""), (parts[3] if len(parts) > 3 and parts[2] == "o" else "")


def _no_route(request: Request) -> ApiError:
    return ApiError(404, "notFound", f"Not Found: {request.method} {request.raw_path}")


def _failed(request: Request, error: ApiError) -> Response:
    """An error as this caller expects it: JSON, XML for the XML API, nothing for 304."""
    headers = list(error.headers)
    if error.status == 304:
        return Response(304, headers)
    if request.raw_path.startswith(("/storage/", "/upload/", "/download/", "/batch", "/resumable/")):
        return Response(error.status, [("Content-Type", JSON_TYPE), *headers], error.json())
    code = XML_CODES.get(error.status, "InvalidArgument")
    text = f"<Error><Code>{code}</Code><Message>{escape(error.message)}</Message></Error>"
    xml = f"<?xml version='1.0' encoding='UTF-8'?>{text}".encode()
    return Response(error.status, [("Content-Type", "application/xml; charset=UTF-8"), *headers], xml)
