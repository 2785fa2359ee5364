"""A gRPC server that passes calls through as raw bytes, after a look at who calls and what is asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import grpc
import grpc.aio

from lab.iam import Denied, Iam, Unauthenticated

UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
PASSED_ON = ("google-cloud-resource-prefix", "x-goog-request-params", "x-goog-api-client")
ADMIN_THREADS = 16


class Refused(Exception):
    """An answer that is an error: gRPC status code and its sentence."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Gate(Protocol):
    """Looks at each message on its way. Raises Refused, Denied or Unauthenticated."""

    def admit(self, caller: str, method: str, request: bytes, first: bool) -> None:
        """Before a request message goes on; `method` is its last path element, `first` of its call."""
        ...

    def answered(self, method: str, request: bytes, response: bytes) -> None:
        """After a response message came back for `request` (of a stream: in the order of both)."""
        ...


def bearer(context: Any) -> str | None:
    """The authorization header of a call."""
    return next((str(value) for key, value in context.invocation_metadata() if key == "authorization"), None)


def status_of(error: Exception) -> Refused:
    """What the caller is told."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, Denied):
        return Refused(grpc.StatusCode.PERMISSION_DENIED, f"Missing or insufficient permissions. {error}")
    if isinstance(error, Unauthenticated):
        return Refused(grpc.StatusCode.UNAUTHENTICATED, f"Request had invalid authentication credentials. {error}")
    raise error


class Passage(grpc.GenericRpcHandler):  # type: ignore[misc,unused-ignore]
    """Passes the methods of `services` on to `channel`. Those in `unary` take the short way of one message each way."""

    def __init__(self, iam: Iam, gate: Gate, channel: Any, services: Collection[str], unary: Collection[str]) -> None:
        self._iam, self._gate, self._channel = iam, gate, channel
        self._services, self._unary = frozenset(services), frozenset(unary)
        self._handlers: dict[str, Any] = {}

    def service(self, details: Any) -> Any:
        """The handler of one call, or None when the service is not ours."""
        path = str(details.method)
        service, _, method = path.strip("/").partition("/")
        if service not in self._services:
            return None
        if path not in self._handlers:
            self._handlers[path] = self._make(path, method)
        return self._handlers[path]

    def _make(self, path: str, method: str) -> Any:
        if method in self._unary:
            return grpc.unary_unary_rpc_method_handler(self._single(path, method))
        return grpc.stream_stream_rpc_method_handler(self._stream(path, method))

    def _single(self, path: str, method: str) -> Callable[[bytes, Any], Awaitable[bytes]]:
        upstream = self._channel.unary_unary(path)

        async def handle(request: bytes, context: Any) -> bytes:
            try:
                self._gate.admit(self._iam.identify(bearer(context)), method, request, True)
                response: bytes = await upstream(request, metadata=_metadata(context), timeout=context.time_remaining())
            except (Refused, Denied, Unauthenticated, grpc.aio.AioRpcError) as error:
                return bytes(await _abort(context, error))
            self._gate.answered(method, request, response)
            return response

        return handle

    def _stream(self, path: str, method: str) -> Callable[[AsyncIterator[bytes], Any], AsyncIterator[bytes]]:
        upstream = self._channel.stream_stream(path)

        async def handle(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            talk = _Talk(self._gate, method)
            try:
                talk.caller = self._iam.identify(bearer(context))
                async for first in requests:
                    self._gate.admit(talk.caller, method, first, True)
                    messages = talk.rest(first, requests)
                    talk.call = upstream(messages, metadata=_metadata(context), timeout=context.time_remaining())
                    async for response in talk.call:
                        talk.answered(response)
                        yield response
                    return
            except (Refused, Denied, Unauthenticated, grpc.aio.AioRpcError) as error:
                await _abort(context, talk.refusal or error)
            except asyncio.CancelledError:
                if talk.refusal is None:  # the caller hung up
                    raise
                await _abort(context, talk.refusal)

        return handle


@dataclass(slots=True)
class _Talk:
    """One call of many messages."""

    gate: Gate
    method: str
    caller: str = ""
    call: Any = None
    refusal: Exception | None = None
    unanswered: deque[bytes] = field(default_factory=deque)

    async def rest(self, first: bytes, requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The first message, judged already, and the others; a refused one ends the call."""
        self._sent(first)
        yield first
        async for request in requests:
            try:
                self.gate.admit(self.caller, self.method, request, False)
            except (Refused, Denied) as error:
                self.refusal = error
                self.call.cancel()
                return
            self._sent(request)
            yield request

    def _sent(self, request: bytes) -> None:
        if self.method == "Write":  # the only stream whose responses answer requests one by one
            self.unanswered.append(request)

    def answered(self, response: bytes) -> None:
        """Pair a response with its request."""
        if self.unanswered:
            self.gate.answered(self.method, self.unanswered.popleft(), response)


async def _abort(context: Any, error: Exception) -> Any:
    if isinstance(error, grpc.aio.AioRpcError):
        await context.abort(error.code(), error.details() or "", error.trailing_metadata() or ())
    refused = status_of(error)
    await context.abort(refused.code, refused.message)


def _metadata(context: Any) -> list[tuple[str, str]]:
    """The emulators take `owner` for the administrator: the caller was judged here."""
    kept = [(key, value) for key, value in context.invocation_metadata() if key in PASSED_ON]
    return [*kept, ("authorization", "Bearer owner")]


def open_server(handlers: Sequence[grpc.GenericRpcHandler], address: str, tls: tuple[Path, Path]) -> tuple[Any, int]:
    """A server for `handlers` on `address` (port 0: a free one) with (certificate, key), not yet started; and its port."""
    options = (*UNLIMITED, ("grpc.so_reuseport", 0))
    server = grpc.aio.server(ThreadPoolExecutor(ADMIN_THREADS, "admin"), options=options)
    server.add_generic_rpc_handlers(tuple(handlers))
    certificate, key = tls
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    return server, server.add_secure_port(address, credentials)


def open_channel(address: str) -> Any:
    """To an emulator, plain text."""
    return grpc.aio.insecure_channel(address, options=UNLIMITED)
