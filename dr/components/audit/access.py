"""What the audit component asks of Pub/Sub, and what its source declares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from dr.errors import NOT_FOUND, DrError
from dr.model.strategy import SourceSpec
from dr.model.timeline import parse_duration
from dr.vendors.pubsub import Pulled, Subscription, subscription_path, topic_path

LOG, PACK = "audit-log", "audit-pack"
ENTRIES, SEGMENTS, QUARANTINED = "entries", "segments", "quarantined"
"""Names of counts."""


class PubsubApi(Protocol):
    """As `dr.vendors.pubsub.Pubsub`."""

    def subscription(self, path: str) -> Subscription | None: ...

    def pull(self, path: str, limit: int, answered: Callable[[Pulled | DrError], None]) -> Callable[[], None]: ...

    def acknowledge(self, path: str, ack_ids: Sequence[str]) -> None: ...

    def extend(self, path: str, ack_ids: Sequence[str], seconds: int) -> None: ...

    def missing_permissions(self, path: str, wanted: Sequence[str]) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class PubsubOptions:
    """The source's options, as the strategy file validated them."""

    project: str
    topic: str
    subscription: str
    sink: str
    heartbeat: timedelta
    sink_delay: timedelta

    @classmethod
    def of(cls, spec: SourceSpec) -> PubsubOptions:
        told = spec.options
        return cls(
            str(told.get("project", "")),
            str(told["topic"]),
            str(told["subscription"]),
            str(told.get("sink", "")),
            parse_duration(str(told.get("heartbeat", "10s"))),
            parse_duration(str(told.get("sinkDelay", "1m"))),
        )

    @property
    def path(self) -> str:
        return subscription_path(self.project, self.subscription)

    @property
    def topic_path(self) -> str:
        return topic_path(self.project, self.topic)


def living(api: PubsubApi, options: PubsubOptions) -> Subscription:
    """Raises DrError NOT_FOUND when the subscription is not there."""
    found = api.subscription(options.path)
    if found is None:
        raise DrError(NOT_FOUND, f"there is no subscription {options.path}")
    return found
