"""Pub/Sub by its own messages over a raw channel: pulls that wait at the server, acknowledgements, extensions, permissions.

Unary pulls, several outstanding: each answer is evidence of contact, flow control is not asking, and nothing is handed to
us that we did not ask for. The high-level client would acknowledge and extend in threads of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from dr.errors import NOT_FOUND, TIMED_OUT, DrError
from dr.vendors.google import translate
from dr.vendors.loading import preload
from dr.vendors.retry import with_retry

if TYPE_CHECKING:
    from dr.vendors.google import GoogleAccess

T = TypeVar("T")
MODULES = ("grpc", "google.pubsub_v1", "google.iam.v1.iam_policy_pb2")
HOST = "pubsub.googleapis.com"
BATCH = 1000
"""Acknowledgement ids in one request: their size is limited too."""
_CALL_S = 30.0
_PULL_S = 120.0
"""The server answers a pull without messages by itself after about 90 s."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of one message. A redelivery has the same `id` and another `ack_id`."""

    ack_id: str
    id: str
    data: bytes
    attributes: Mapping[str, str]
    published: datetime


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a subscription promises. `topic` is its path, `_deleted-topic_` when the topic is gone."""

    name: str
    topic: str
    ack_deadline: timedelta
    retention: timedelta
    expires: timedelta | None
    """It is deleted after that long without a consumer; None: never."""
    filtered: str
    """Messages that the filter drops are acknowledged by Pub/Sub itself."""
    detached: bool
    pushes: bool
    """Delivers by itself (to an endpoint, BigQuery or a bucket): cannot be pulled."""
    dead_letters: str
    """Topic that undeliverable messages are moved to; empty: none."""


Pulled = tuple[Message, ...]


@dataclass(frozen=True)
class Pubsub:
    """One identity's way to subscriptions. Errors: DrError of the catalogue, naming the subscription."""

    access: GoogleAccess

    def subscription(self, path: str) -> Subscription | None:
        """None when there is none. `path`: `projects/P/subscriptions/S`."""
        preload(*MODULES)
        from google.pubsub_v1 import types

        request = types.GetSubscriptionRequest.pb()(subscription=path)
        call = self._method("GetSubscription", types.GetSubscriptionRequest, types.Subscription)
        try:
            return _subscription(self._ask(f"read {path}", lambda: call(request, **_to(path))))
        except DrError as error:
            if error.kind is NOT_FOUND:
                return None
            raise

    def pull(self, path: str, limit: int, answered: Callable[[Pulled | DrError], None]) -> Callable[[], None]:
        """Ask once for up to `limit` messages; returns what cancels it. `answered` is called once, on another thread: with
        messages, with none when the server had none for long, or with the error; TIMED_OUT when there was no answer."""
        preload(*MODULES)
        from google.pubsub_v1 import types

        request = types.PullRequest.pb()(subscription=path, max_messages=limit)
        future = self._method("Pull", types.PullRequest, types.PullResponse).future(request, **_to(path, _PULL_S))
        future.add_done_callback(lambda done: answered(_answer(done, path)))
        return lambda: future.cancel()

    def acknowledge(self, path: str, ack_ids: Sequence[str]) -> None:
        """Pub/Sub may forget these. At most BATCH at once."""
        preload(*MODULES)
        from google.pubsub_v1 import types

        request = types.AcknowledgeRequest.pb()(subscription=path, ack_ids=ack_ids)
        call = self._method("Acknowledge", types.AcknowledgeRequest, None)
        self._ask(f"acknowledge on {path}", lambda: call(request, **_to(path)))

    def extend(self, path: str, ack_ids: Sequence[str], seconds: int) -> None:
        """Hold these for so long from now; 0 gives them back at once. At most BATCH at once."""
        preload(*MODULES)
        from google.pubsub_v1 import types

        kind = types.ModifyAckDeadlineRequest
        request = kind.pb()(subscription=path, ack_ids=ack_ids, ack_deadline_seconds=seconds)
        call = self._method("ModifyAckDeadline", kind, None)
        self._ask(f"extend deadlines on {path}", lambda: call(request, **_to(path)))

    def missing_permissions(self, path: str, wanted: Sequence[str]) -> tuple[str, ...]:
        """Those of `wanted` that the caller lacks on the resource."""
        preload(*MODULES)
        from google.iam.v1 import iam_policy_pb2 as iam

        request = iam.TestIamPermissionsRequest(resource=path, permissions=wanted)
        call = self._channel.unary_unary(
            "/google.iam.v1.IAMPolicy/TestIamPermissions",
            request_serializer=iam.TestIamPermissionsRequest.SerializeToString,
            response_deserializer=iam.TestIamPermissionsResponse.FromString,
        )
        answer = self._ask(f"ask for permissions on {path}", lambda: call(request, **_to(path, key="resource")))
        return tuple(name for name in wanted if name not in set(answer.permissions))

    @cached_property
    def _channel(self) -> Any:
        return self.access.channel(self.access.pubsub_endpoint, HOST)

    @cached_property
    def _methods(self) -> dict[str, Any]:
        return {}

    def _method(self, name: str, request: Any, response: Any) -> Any:
        """A call of the subscriber service; `response` None: an empty message that nobody reads."""
        if name not in self._methods:
            self._methods[name] = self._channel.unary_unary(
                f"/google.pubsub.v1.Subscriber/{name}",
                request_serializer=request.pb().SerializeToString,
                response_deserializer=response.pb().FromString if response else bytes,
            )
        return self._methods[name]

    def _ask(self, what: str, call: Callable[[], T]) -> T:
        def once() -> T:
            try:
                return call()
            except Exception as error:
                raise translate(error, what) from error

        return with_retry(once, what=what, deadline_s=_CALL_S)


def subscription_path(project: str, name: str) -> str:
    return f"projects/{project}/subscriptions/{name}"


def topic_path(project: str, name: str) -> str:
    return f"projects/{project}/topics/{name}"


def _to(path: str, timeout: float = _CALL_S, key: str = "subscription") -> dict[str, Any]:
    """Deadline and the routing header that Google's front ends want."""
    return {"timeout": timeout, "metadata": [("x-goog-request-params", f"{key}={quote(path, safe='')}")]}


def _answer(done: Any, path: str) -> Pulled | DrError:
    preload(*MODULES)
    import grpc

    try:
        return tuple(map(_message, done.result().received_messages))
    except grpc.FutureCancelledError:
        return DrError(TIMED_OUT, f"the pull from {path} was given up")
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return DrError(TIMED_OUT, f"the pull from {path} got no answer")
        return translate(error, f"pull from {path}")


def _message(received: Any) -> Message:
    message = received.message
    return Message(
        received.ack_id, message.message_id, message.data, dict(message.attributes), _instant(message.publish_time)
    )


def _instant(stamp: Any) -> datetime:
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


def _subscription(found: Any) -> Subscription:
    expiry = found.expiration_policy
    never = not found.HasField("expiration_policy") or not expiry.HasField("ttl")
    return Subscription(
        name=found.name,
        topic=found.topic,
        ack_deadline=timedelta(seconds=found.ack_deadline_seconds),
        retention=found.message_retention_duration.ToTimedelta(),
        expires=None if never else expiry.ttl.ToTimedelta(),
        filtered=found.filter,
        detached=found.detached,
        pushes=bool(found.push_config.push_endpoint)
        or found.HasField("bigquery_config")
        or found.HasField("cloud_storage_config"),
        dead_letters=found.dead_letter_policy.dead_letter_topic,
    )
