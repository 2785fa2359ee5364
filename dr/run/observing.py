"""Who watches the service. It is told, never asked; telling it costs nothing and never fails."""

from __future__ import annotations

from typing import Protocol

from dr.errors import DrError
from dr.ports import Notice
from dr.run.runner import CaptureResult


class Observer(Protocol):
    """Called from any thread of the service; returns at once and never raises."""

    def looked(self) -> None:
        """The service asked what is due, and knows."""
        ...

    def trouble(self, error: DrError) -> None:
        """It could not be decided what is due."""
        ...

    def finished(self, result: CaptureResult) -> None:
        """A capture ended, well or not."""
        ...

    def notice(self, notice: Notice) -> None:
        """A follower tells of its log."""
        ...

    def leads(self, leading: bool) -> None:
        """This replica took or lost the lead."""
        ...


class Unobserved:
    """Nobody watches."""

    def looked(self) -> None:
        pass

    def trouble(self, error: DrError) -> None:
        pass

    def finished(self, result: CaptureResult) -> None:
        pass

    def notice(self, notice: Notice) -> None:
        pass

    def leads(self, leading: bool) -> None:
        pass
