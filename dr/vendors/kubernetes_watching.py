"""One watch call as a stream that another thread can end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dr.errors import UNREACHABLE, DrError
from dr.vendors.kubernetes_transport import broken

if TYPE_CHECKING:
    from dr.vendors.kubernetes import Event


class Changes:
    """Every change after one resource version, bookmarks too (type `BOOKMARK`), until the server ends the call.

    Iterate once, in one thread; `close` from any. Raises Gone (the version is too old: list again), DrError UNREACHABLE
    when the connection breaks; ends quietly after `close`.
    """

    def __init__(self, response: Any, events: Callable[[Any], Iterator[Event]]) -> None:
        self._response, self._events = response, events
        self._closed = False

    def __iter__(self) -> Iterator[Event]:
        whole = False
        try:
            yield from self._events(self._response)
            whole = True
        except broken() as error:
            if not self._closed:
                raise DrError(UNREACHABLE, f"a watch was cut: {error}") from error
        finally:
            # a connection with an answer half read must not go back to the pool
            self._response.release_conn() if whole and not self._closed else self._response.close()

    def close(self) -> None:
        """The reading thread's next read ends at once."""
        self._closed = True
        with suppress(OSError, RuntimeError, ValueError, AttributeError):
            self._response.shutdown()
