"""A Pub/Sub of one subscription in memory: at least once, in any order, and as forgetful as told to be."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from dr.errors import TIMED_OUT, DrError
from dr.model.ids import SourceId
from dr.model.strategy import Place, SourceSpec
from dr.vendors.pubsub import Message, Pulled, Subscription
from dr.vendors.sinks import Sink

SOURCE = SourceId("audit", "pubsub", "energent")
TOPIC, PATH = "projects/p/topics/energent-security", "projects/p/subscriptions/sink"
SPEC = SourceSpec(
    SOURCE,
    Place("p", "us-central1"),
    {
        "project": "p", "topic": "energent-security", "subscription": "sink", "sink": "energent-security-sink",
        "heartbeat": "200ms", "packEvery": "1d",
    },
)  # fmt: skip
STANDING = Subscription(PATH, TOPIC, timedelta(seconds=10), timedelta(days=7), None, "", False, False, "")
Answered = Callable[[Pulled | DrError], None]


def log_entry(number: int, at: datetime, **more: object) -> dict[str, object]:
    """An audit entry in the shape that Cloud Logging sends."""
    payload = {
        "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
        "serviceName": "container.googleapis.com",
        "methodName": "google.container.v1.ClusterManager.UpdateCluster",
        "resourceName": f"projects/p/clusters/c{number}",
        "authenticationInfo": {"principalEmail": f"person{number % 3}@energent.example"},
        "status": {},
    }
    return {
        "logName": "projects/p/logs/cloudaudit.googleapis.com%2Factivity",
        "timestamp": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "insertId": f"i{number}",
        "severity": "NOTICE",
        "protoPayload": payload,
        **more,
    }


@dataclass
class FakePubsub:
    """`PubsubApi`. What is delivered stays outstanding until it is acknowledged; `redeliver` gives it out again."""

    batch: int = 100
    subscribed: Subscription | None = STANDING
    missing: tuple[str, ...] = ()
    failing: DrError | None = None
    """Answer of every call while it is set."""
    hanging: DrError | None = None
    """Answer of every call but a pull: those wait, as behind a network that swallows everything."""
    forgetful: int = 0
    """So many acknowledgements are lost on the way."""
    slow: bool = False
    """Nothing is handed out until `hand_out`."""
    acknowledged: set[str] = field(default_factory=set)
    """Ids of messages."""
    extended: list[tuple[str, int]] = field(default_factory=list)
    deliveries: int = 0
    _sent: list[Message] = field(default_factory=list)
    _queue: list[Message] = field(default_factory=list)
    _out: dict[str, Message] = field(default_factory=dict)
    _waiting: list[tuple[int, Answered]] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    # --- for tests

    def publish(self, *datas: bytes | Mapping[str, object], at: datetime | None = None) -> None:
        with self._lock:
            for data in datas:
                raw = data if isinstance(data, bytes) else json.dumps(data).encode()
                message = Message("", f"m{len(self._sent)}", raw, {}, at or datetime.now(UTC))
                self._sent.append(message)
                self._queue.append(message)
        self._serve()

    def redeliver(self, *, everything: bool = False) -> None:
        """What is outstanding comes again; with `everything` what was acknowledged too, as after a Seek."""
        with self._lock:
            self._queue = list(self._sent) if everything else [*self._queue, *self._out.values()]
            self._out = {}
        self._serve()

    def hand_out(self) -> None:
        self.slow = False
        self._serve()

    def fail(self, error: DrError | None) -> None:
        """From now on, waiting pulls too."""
        with self._lock:
            self.failing = error
            waiting, self._waiting = (self._waiting, []) if error else ([], self._waiting)
        for _, answered in waiting:
            assert error is not None
            answered(error)

    @property
    def waiting(self) -> int:
        """Pulls that are not answered yet."""
        return len(self._waiting)

    @property
    def unacknowledged(self) -> int:
        with self._lock:
            return len({message.id for message in self._sent} - self.acknowledged)

    # --- PubsubApi

    def subscription(self, path: str) -> Subscription | None:
        self._refuse()
        return self.subscribed

    def pull(self, path: str, limit: int, answered: Answered) -> Callable[[], None]:
        if self.failing:
            answered(self.failing)
            return lambda: None
        waiting = (limit, answered)
        with self._lock:
            self._waiting.append(waiting)
        self._serve()
        return lambda: self._cancel(waiting)

    def acknowledge(self, path: str, ack_ids: Sequence[str]) -> None:
        self._refuse()
        with self._lock:
            if self.forgetful:
                self.forgetful -= 1
                return
            for ack_id in ack_ids:
                if message := self._out.pop(ack_id, None):
                    self.acknowledged.add(message.id)

    def extend(self, path: str, ack_ids: Sequence[str], seconds: int) -> None:
        self._refuse()
        with self._lock:
            self.extended += [(ack_id, seconds) for ack_id in ack_ids]
            if seconds == 0:
                self._queue += [message for ack_id in ack_ids if (message := self._out.pop(ack_id, None))]
        self._serve()

    def missing_permissions(self, path: str, wanted: Sequence[str]) -> tuple[str, ...]:
        return self.missing

    # --- inside

    def _refuse(self) -> None:
        if error := self.failing or self.hanging:
            raise error

    def _cancel(self, waiting: tuple[int, Answered]) -> None:
        with self._lock:
            known = waiting in self._waiting
            if known:
                self._waiting.remove(waiting)
        if known:
            waiting[1](DrError(TIMED_OUT, "given up"))

    def _serve(self) -> None:
        while True:
            with self._lock:
                if self.slow or not self._waiting or not self._queue:
                    return
                limit, answered = self._waiting.pop(0)
                count = min(limit, self.batch)
                batch, self._queue = self._queue[:count], self._queue[count:]
                pulled = tuple(self._deliver(message) for message in batch)
            answered(pulled)

    def _deliver(self, message: Message) -> Message:
        self.deliveries += 1
        ack_id = f"a{self.deliveries}"
        delivered = Message(ack_id, message.id, message.data, message.attributes, message.published)
        self._out[ack_id] = delivered
        return delivered


@dataclass
class FakeSinks:
    """`SinkApi` with one sink, or an error."""

    found: Sink | None = field(
        default_factory=lambda: Sink(f"pubsub.googleapis.com/{TOPIC}", "", False, "serviceAccount:logging")
    )
    error: DrError | None = None

    def sink(self, project: str, name: str) -> Sink | None:
        if self.error:
            raise self.error
        return self.found
