"""The Pub/Sub proxy by the real clients: each verb needs its permission, and what is allowed goes through."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from google.iam.v1 import iam_policy_pb2
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from tests.lab.stack import PROJECT, Stack, eventually

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]
TOPIC = f"projects/{PROJECT}/topics/proxied"
SUBSCRIPTION = f"projects/{PROJECT}/subscriptions/proxied"


def publisher(stack: Stack, name: str) -> Any:
    return PublisherClient(transport=PublisherGrpcTransport(channel=stack.channel(name, stack.pubsub)))


def subscriber(stack: Stack, name: str) -> Any:
    return SubscriberClient(transport=SubscriberGrpcTransport(channel=stack.channel(name, stack.pubsub)))


@pytest.fixture(scope="module")
def topic(firestore_stack: Stack) -> str:
    publisher(firestore_stack, "operator").create_topic(name=TOPIC)
    subscriber(firestore_stack, "operator").create_subscription(name=SUBSCRIPTION, topic=TOPIC)
    return TOPIC


def test_publishing_and_consuming_are_different_rights(firestore_stack: Stack, topic: str) -> None:
    with pytest.raises(exceptions.PermissionDenied):
        publisher(firestore_stack, "app").publish(topic, b"no").result(timeout=10)
    firestore_stack.iam.grant("app", ["pubsub.topics.publish"], topic)
    assert publisher(firestore_stack, "app").publish(topic, b"yes").result(timeout=10)
    with pytest.raises(exceptions.PermissionDenied):
        subscriber(firestore_stack, "app").pull(subscription=SUBSCRIPTION, max_messages=1, timeout=10)
    firestore_stack.iam.grant("capture", ["pubsub.subscriptions.consume"], SUBSCRIPTION)
    reader = subscriber(firestore_stack, "capture")
    got = eventually(lambda: list(reader.pull(subscription=SUBSCRIPTION, max_messages=1).received_messages), 20)
    assert got[0].message.data == b"yes"
    reader.acknowledge(subscription=SUBSCRIPTION, ack_ids=[got[0].ack_id])
    with pytest.raises(exceptions.PermissionDenied):
        publisher(firestore_stack, "capture").delete_topic(topic=topic)


def test_a_streaming_pull_delivers_or_is_refused(firestore_stack: Stack, topic: str) -> None:
    publisher(firestore_stack, "operator").publish(topic, b"streamed").result(timeout=10)
    got: list[bytes] = []
    client = subscriber(firestore_stack, "operator")
    future = client.subscribe(SUBSCRIPTION, lambda message: (got.append(message.data), message.ack()))
    try:
        eventually(lambda: b"streamed" in got, 30, "the message")
    finally:
        future.cancel()
        future.result(timeout=20)
    refused = subscriber(firestore_stack, "prune").subscribe(SUBSCRIPTION, lambda message: message.ack())
    with pytest.raises(exceptions.PermissionDenied):
        refused.result(timeout=20)


def test_permissions_can_be_asked_for(firestore_stack: Stack, topic: str) -> None:
    wanted = ["pubsub.topics.publish", "pubsub.topics.delete"]
    request = iam_policy_pb2.TestIamPermissionsRequest(resource=topic, permissions=wanted)
    firestore_stack.iam.grant("velero", ["pubsub.topics.publish"], topic)
    assert list(publisher(firestore_stack, "velero").test_iam_permissions(request=request).permissions) == wanted[:1]
    assert list(publisher(firestore_stack, "operator").test_iam_permissions(request=request).permissions) == wanted
