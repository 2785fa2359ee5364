"""The Pub/Sub adapter over real gRPC against a small server of our own: requests as sent, answers as read, errors as meant."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.iam.v1 import iam_policy_pb2
from google.protobuf import empty_pb2
from google.pubsub_v1 import types

from dr.errors import NOT_AUTHORISED, NOT_FOUND, TIMED_OUT, UNREACHABLE, DrError
from dr.vendors.pubsub import Pubsub, Pulled
from tests.unit.test_firestore_vendor import PlainAccess, Server

PATH = "projects/p/subscriptions/s"
AT = datetime(2025, 5, 28, 10, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[tuple[Server, Pubsub]]:
    handler, running = Server(), grpc.server(ThreadPoolExecutor(8))
    running.add_generic_rpc_handlers((handler,))
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    yield handler, Pubsub(PlainAccess(pubsub_endpoint=f"127.0.0.1:{port}"))
    running.stop(None)


def pulled(api: Pubsub) -> Pulled | DrError:
    answers: queue.Queue[Pulled | DrError] = queue.Queue()
    api.pull(PATH, 7, answers.put)
    return answers.get(timeout=10)


def test_messages_are_read_as_they_were_published(server: tuple[Server, Pubsub]) -> None:
    handler, api = server
    message = types.PubsubMessage(data=b"\x00data", attributes={"a": "b"}, message_id="m1", publish_time=AT)
    handler.answers["Pull"] = types.PullResponse.pb(
        types.PullResponse(received_messages=[types.ReceivedMessage(ack_id="a1", message=message)])
    )
    (found,) = pulled(api)  # type: ignore[misc]
    assert (found.ack_id, found.id, found.data, found.attributes, found.published) == (
        "a1", "m1", b"\x00data", {"a": "b"}, AT,
    )  # fmt: skip
    asked = handler.request(types.PullRequest)
    assert (asked.subscription, asked.max_messages) == (PATH, 7)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (exceptions.PermissionDenied("no"), NOT_AUTHORISED),
        (exceptions.NotFound("gone"), NOT_FOUND),
        (exceptions.DeadlineExceeded("nothing"), TIMED_OUT),
    ],
)
def test_a_pull_that_fails_says_how(server: tuple[Server, Pubsub], answer: Any, kind: object) -> None:
    handler, api = server
    handler.answers["Pull"] = answer
    found = pulled(api)
    assert isinstance(found, DrError)
    assert found.kind is kind


def test_a_pull_can_be_given_up(server: tuple[Server, Pubsub]) -> None:
    handler, api = server
    release, answers = threading.Event(), queue.Queue[Pulled | DrError]()
    handler.answers["Pull"] = _Slow(release)
    api.pull(PATH, 7, answers.put)()
    found = answers.get(timeout=10)
    release.set()
    assert isinstance(found, DrError)
    assert found.kind is TIMED_OUT


class _Slow:
    """An answer that takes as long as it is let."""

    def __init__(self, release: threading.Event) -> None:
        self._release = release

    def SerializeToString(self) -> bytes:
        self._release.wait(10)
        return b""


def test_nobody_there_is_unreachable() -> None:
    found = pulled(Pubsub(PlainAccess(pubsub_endpoint="127.0.0.1:1")))
    assert isinstance(found, DrError)
    assert found.kind is UNREACHABLE


def test_a_subscription_is_read_with_all_that_can_lose_entries(server: tuple[Server, Pubsub]) -> None:
    handler, api = server
    told = types.Subscription(
        name=PATH, topic="projects/p/topics/t", ack_deadline_seconds=30, filter="x", detached=True,
        message_retention_duration=timedelta(days=7), expiration_policy={"ttl": timedelta(days=31)},
        dead_letter_policy={"dead_letter_topic": "projects/p/topics/dead"},
        push_config={"push_endpoint": "https://elsewhere.example"},
    )  # fmt: skip
    handler.answers["GetSubscription"] = types.Subscription.pb(told)
    found = api.subscription(PATH)
    assert found is not None
    assert (found.ack_deadline, found.retention, found.expires) == (
        timedelta(seconds=30), timedelta(days=7), timedelta(days=31),
    )  # fmt: skip
    assert (found.filtered, found.detached, found.pushes) == ("x", True, True)
    assert found.dead_letters == "projects/p/topics/dead"
    handler.answers["GetSubscription"] = types.Subscription.pb(types.Subscription(name=PATH))
    plain = api.subscription(PATH)
    assert plain is not None
    assert (plain.expires, plain.pushes, plain.dead_letters) == (None, False, "")
    handler.answers["GetSubscription"] = exceptions.NotFound("gone")
    assert api.subscription(PATH) is None


def test_acknowledging_extending_and_asking_for_permissions(server: tuple[Server, Pubsub]) -> None:
    handler, api = server
    handler.answers["Acknowledge"] = handler.answers["ModifyAckDeadline"] = empty_pb2.Empty()
    api.acknowledge(PATH, ["a", "b"])
    assert list(handler.request(types.AcknowledgeRequest).ack_ids) == ["a", "b"]
    api.extend(PATH, ["c"], 60)
    asked = handler.request(types.ModifyAckDeadlineRequest)
    assert (list(asked.ack_ids), asked.ack_deadline_seconds) == (["c"], 60)
    handler.answers["TestIamPermissions"] = iam_policy_pb2.TestIamPermissionsResponse(permissions=["x.get"])
    assert api.missing_permissions(PATH, ["x.get", "x.consume"]) == ("x.consume",)


def test_a_lost_acknowledgement_call_is_repeated(server: tuple[Server, Pubsub]) -> None:
    handler, api = server
    handler.answers["Acknowledge"] = [exceptions.ServiceUnavailable("later"), empty_pb2.Empty()]
    api.acknowledge(PATH, ["a"])
    assert len(handler.seen) == 2
