"""Requests and responses as the handlers see them, and their way through ASGI."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lab.storage.failures import invalid
from lab.storage.model import Json

JSON_TYPE = "application/json; charset=UTF-8"
MAX_JSON = 16 * 1024 * 1024
TRANSPORT = "lab.transport"


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol that also lets a fault cut the connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: {"transport": self.transport}}


class Disconnected(Exception):
    """The client went away within its request."""


@dataclass(slots=True)
class Request:
    """One request; `segments` is the path, split before it is unquoted by the router."""

    method: str
    raw_path: str
    query: Mapping[str, str]
    queries: Mapping[str, list[str]]
    headers: Mapping[str, str]
    base: str
    receive: Receive | None = None
    buffered: bytes = b""
    identity: str = ""
    fault: "Cut | None" = None

    def flag(self, key: str) -> bool:
        """A boolean parameter."""
        return self.query.get(key, "").lower() == "true"

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises Disconnected."""
        if self.receive is None:
            yield self.buffered
            return
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            more = bool(message.get("more_body"))
            if message.get("body"):
                yield message["body"]

    async def body(self, limit: int = MAX_JSON) -> bytes:
        """The whole body; 400 when it exceeds `limit` bytes."""
        parts, size = list[bytes](), 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                raise invalid("The request body is too large.")
            parts.append(chunk)
        return b"".join(parts)

    async def json(self) -> Json:
        """The body as a JSON object, {} when empty."""
        return load_json(await self.body())


@dataclass(frozen=True, slots=True)
class Cut:
    """What a fault does to a response: send only `keep` of its bytes (None: no response at all) and close."""

    keep: float | None


@dataclass(slots=True)
class Response:
    """`length` counts a streamed body's bytes."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None
    length: int = 0


def load_json(text: bytes) -> Json:
    """A JSON object; 400 otherwise."""
    try:
        value = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise invalid(f"Parse Error: {error}") from error
    if not isinstance(value, dict):
        raise invalid("Parse Error: a JSON object is expected.")
    return value


def json_response(value: object, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """A JSON body."""
    return Response(status, [("Content-Type", JSON_TYPE), *headers], json.dumps(value, ensure_ascii=False).encode())


def request_of(scope: Scope, receive: Receive) -> Request:
    """Read an ASGI scope."""
    headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
    queries = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    query = {key: values[-1] for key, values in queries.items()}
    base = f"{scope['scheme']}://{headers.get('host', '127.0.0.1')}"
    return Request(scope["method"], scope["raw_path"].decode("latin-1"), query, queries, headers, base, receive)


async def deliver(response: Response, date: bytes, scope: Scope, send: Send, cut: Cut | None) -> None:
    """Send a response, or the part of it that a fault leaves."""
    transport: asyncio.Transport = scope["extensions"][TRANSPORT]["transport"]
    if cut is not None and cut.keep is None:
        transport.abort()
        return
    await send({"type": "http.response.start", "status": response.status, "headers": _headers(response, date)})
    if cut is not None:
        await _send_part(response, send, int(_length(response) * (cut.keep or 0.0)))
        transport.close()
    elif response.stream is None:
        await send({"type": "http.response.body", "body": response.body})
    else:
        async for chunk in response.stream:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})


async def _send_part(response: Response, send: Send, keep: int) -> None:
    async for chunk in response.stream or _once(response.body):
        await send({"type": "http.response.body", "body": chunk[:keep], "more_body": True})
        keep -= min(keep, len(chunk))


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _length(response: Response) -> int:
    return response.length if response.stream is not None else len(response.body)


def _headers(response: Response, date: bytes) -> list[tuple[bytes, bytes]]:
    given = [(key.lower().encode(), value.encode("latin-1", "replace")) for key, value in response.headers]
    given += [(b"date", date), (b"server", b"UploadServer")]
    if response.status not in (204, 304):
        given.append((b"content-length", str(_length(response)).encode()))
    return given
