"""A streaming reader of `multipart/related` uploads: one JSON part, then one part of media of any size."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.message import Message

from lab.storage.failures import invalid
from lab.storage.model import Json
from lab.storage.wire import load_json

MAX_HEAD = 1024 * 1024


def boundary_of(content_type: str) -> bytes:
    """The boundary parameter; 400 without one."""
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_param("boundary")
    if not isinstance(boundary, str) or not boundary:
        raise invalid("A multipart upload needs a boundary.")
    return boundary.encode("latin-1")


@dataclass(slots=True)
class Related:
    """Reads `chunks`; call `head` once, then `media` once."""

    chunks: AsyncIterator[bytes]
    boundary: bytes
    _buffer: bytes = b""

    async def head(self) -> tuple[Json, str]:
        """The metadata and the media's content type."""
        opening = b"--" + self.boundary
        await self._until(opening)
        first = _body(await self._until(b"\r\n" + opening))
        headers = (await self._until(b"\r\n\r\n")).decode("latin-1")
        lines = (line.partition(":") for line in headers.split("\r\n"))
        types = [value.strip() for key, _, value in lines if key.strip().lower() == "content-type"]
        return load_json(first), types[0] if types else ""

    async def media(self) -> AsyncIterator[bytes]:
        """The media's bytes; 400 when the closing boundary does not come."""
        closing = b"\r\n--" + self.boundary
        if (end := self._buffer.find(closing)) >= 0:
            yield self._buffer[:end]
            return
        async for chunk in self.chunks:
            self._buffer += chunk
            if (end := self._buffer.find(closing)) >= 0:
                yield self._buffer[:end]
                return
            sure = len(self._buffer) - len(closing) + 1  # the rest may be the beginning of the boundary
            if sure > 0:
                yield self._buffer[:sure]
                self._buffer = self._buffer[sure:]
        raise invalid("The multipart body ends before its closing boundary.")

    async def _until(self, mark: bytes) -> bytes:
        """What comes before `mark`, which is taken off too."""
        while (end := self._buffer.find(mark)) < 0:
            if len(self._buffer) > MAX_HEAD:
                raise invalid("The metadata part is too large.")
            chunk = await anext(self.chunks, None)
            if chunk is None:
                raise invalid("The multipart body is malformed.")
            self._buffer += chunk
        head, self._buffer = self._buffer[:end], self._buffer[end + len(mark) :]
        return head


def _body(part: bytes) -> bytes:
    return part.partition(b"\r\n\r\n")[2]
