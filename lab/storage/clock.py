"""The server's clock: real time plus an offset, so that tests can skew it or pass a retention's end."""

import time
from dataclasses import dataclass
from email.utils import formatdate


@dataclass(slots=True)
class Clock:
    """`offset_s` shifts what clients see; generations follow the unshifted time and never repeat."""

    offset_s: float = 0.0
    last_generation: int = 0
    _date: tuple[int, bytes] = (0, b"")

    def now_us(self) -> int:
        """Unix microseconds, shifted, in whole milliseconds as Google's times are."""
        return int((time.time() + self.offset_s) * 1000) * 1000

    def generation(self) -> int:
        """A new generation number, greater than any before."""
        self.last_generation = max(int(time.time() * 1_000_000), self.last_generation + 1)
        return self.last_generation

    def date(self) -> bytes:
        """The value of the Date header, shifted."""
        second = int(time.time() + self.offset_s)
        if second != self._date[0]:
            self._date = (second, formatdate(second, usegmt=True).encode())
        return self._date[1]
