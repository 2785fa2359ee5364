"""The data plane and the databases: identities, unknown and deleted databases, the past that can be read, events, restarts."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.auth import jwt
from google.cloud.firestore_admin_v1 import FirestoreAdminClient
from google.cloud.firestore_admin_v1.services.firestore_admin.transports import FirestoreAdminGrpcTransport
from google.cloud.firestore_v1 import types
from google.cloud.pubsub_v1 import SubscriberClient
from google.longrunning import operations_pb2
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from tests.lab.stack import PROJECT, VAULT, Stack, eventually, running

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]
TOPIC = f"projects/{PROJECT}/topics/firestore-documents"


@pytest.fixture(scope="module")
def world(firestore_stack: Stack) -> Any:
    firestore_stack.database("front-main")
    return firestore_stack.client("front-main")


def test_a_self_signed_token_is_as_good_as_an_access_token(firestore_stack: Stack, world: Any) -> None:
    key = str(firestore_stack.iam.key_file("operator"))
    audience = "https://firestore.googleapis.com/"
    signed = jwt.Credentials.from_service_account_file(key, audience=audience)
    signed.refresh(None)
    roots = grpc.ssl_channel_credentials(firestore_stack.ca.certificate.read_bytes())
    call = grpc.access_token_call_credentials(signed.token.decode())
    channel = grpc.secure_channel(firestore_stack.front, grpc.composite_channel_credentials(roots, call))
    client = FirestoreAdminClient(transport=FirestoreAdminGrpcTransport(channel=channel))
    assert client.get_database(name=f"projects/{PROJECT}/databases/front-main").uid


def test_without_an_identity_nothing_is_answered(firestore_stack: Stack, world: Any) -> None:
    roots = grpc.ssl_channel_credentials(firestore_stack.ca.certificate.read_bytes())
    for token in ("", "forged"):
        call = grpc.access_token_call_credentials(token)
        channel = grpc.secure_channel(firestore_stack.front, grpc.composite_channel_credentials(roots, call))
        client = FirestoreAdminClient(transport=FirestoreAdminGrpcTransport(channel=channel))
        with pytest.raises(exceptions.Unauthenticated):
            client.get_database(name=f"projects/{PROJECT}/databases/front-main")


def test_each_verb_needs_its_permission(firestore_stack: Stack, world: Any) -> None:
    iam, database = firestore_stack.iam, f"projects/{PROJECT}/databases/front-main"
    world.document("rights/there").set({"n": 1})
    stranger = firestore_stack.client("front-main", "stranger")
    document = stranger.document("rights/there")
    with pytest.raises(exceptions.PermissionDenied):
        document.get(timeout=10)
    iam.grant("stranger", ["datastore.entities.get"], database)
    assert document.get().to_dict() == {"n": 1}
    with pytest.raises(exceptions.PermissionDenied):
        list(stranger.collection("rights").stream(timeout=10))
    with pytest.raises(exceptions.PermissionDenied):
        document.update({"n": 2}, timeout=10)
    iam.grant("stranger", ["datastore.entities.update"], database)
    document.update({"n": 2})
    with pytest.raises(exceptions.PermissionDenied):
        stranger.document("rights/new").create({"n": 1}, timeout=10)
    with pytest.raises(exceptions.PermissionDenied):
        document.delete(timeout=10)
    with pytest.raises(exceptions.PermissionDenied):
        firestore_stack.admin("stranger").export_documents(
            request={"name": database, "output_uri_prefix": f"gs://{VAULT}/x"}
        )
    iam.revoke("stranger", "datastore.entities.get", database)
    with pytest.raises(exceptions.PermissionDenied):
        document.get(timeout=10)


def test_a_database_that_never_was_or_is_gone_is_not_found(firestore_stack: Stack) -> None:
    with pytest.raises(exceptions.NotFound, match="The database front-nowhere does not exist for project energent-lab"):
        firestore_stack.client("front-nowhere").document("a/b").set({}, timeout=10)
    name = firestore_stack.database("front-doomed", delete_protection_state=2)
    firestore_stack.client("front-doomed").document("a/b").set({"n": 1})
    admin = firestore_stack.admin()
    with pytest.raises(exceptions.FailedPrecondition, match="delete protection"):
        admin.delete_database(name=name)
    update = {
        "database": {"name": name, "delete_protection_state": 1},
        "update_mask": {"paths": ["delete_protection_state"]},
    }
    admin.update_database(request=update).result(timeout=10)
    first = admin.get_database(name=name).uid
    admin.delete_database(name=name).result(timeout=10)
    with pytest.raises(exceptions.NotFound):
        firestore_stack.client("front-doomed").document("a/b").get(timeout=10)
    with pytest.raises(exceptions.NotFound):
        admin.get_database(name=name)
    with pytest.raises(exceptions.FailedPrecondition):  # its id is still reserved
        firestore_stack.database("front-doomed")
    eventually(lambda: _created(firestore_stack, "front-doomed"), 20)
    assert admin.get_database(name=name).uid != first
    assert not firestore_stack.client("front-doomed").document("a/b").get().exists


def _created(stack: Stack, name: str) -> bool:
    try:
        stack.database(name)
    except exceptions.FailedPrecondition:
        return False
    return True


def test_the_past_can_be_read_within_its_window_only(firestore_stack: Stack, world: Any) -> None:
    written = world.document("past/one").set({"n": 1}).update_time
    world.document("past/one").set({"n": 2})
    assert world.document("past/one").get(read_time=written).to_dict() == {"n": 1}
    now = datetime.now(UTC)
    with pytest.raises(exceptions.FailedPrecondition, match=r"The requested snapshot version is too old\."):
        world.document("past/one").get(read_time=now - timedelta(hours=2), timeout=10)
    with pytest.raises(exceptions.InvalidArgument):
        world.document("past/one").get(read_time=now + timedelta(minutes=5), timeout=10)


def test_outside_the_recent_window_only_whole_granules_can_be_read(tmp_path: Path) -> None:
    """A lab of its own, because the recent window is a setting."""
    with running(tmp_path, granularity=2, recent_window=1) as stack:
        stack.database("front-old")
        client = stack.client("front-old")
        client.document("a/b").set({"n": 1})
        whole = (time.time() // 2 + 1) * 2
        eventually(lambda: time.time() > whole + 1.5)
        instant = datetime.fromtimestamp(whole, UTC)
        assert client.document("a/b").get(read_time=instant).to_dict() == {"n": 1}
        with pytest.raises(exceptions.InvalidArgument):
            client.document("a/b").get(read_time=instant + timedelta(microseconds=5), timeout=10)
        _turn_history_off(stack, "front-old")
        with pytest.raises(exceptions.FailedPrecondition):
            client.document("a/b").get(read_time=instant, timeout=10)


def _turn_history_off(stack: Stack, name: str) -> None:
    admin, full = stack.admin(), f"projects/{PROJECT}/databases/{name}"
    before = admin.get_database(name=full)
    mask = {"paths": ["point_in_time_recovery_enablement"]}
    request = {"database": {"name": full, "point_in_time_recovery_enablement": 2}, "update_mask": mask}
    admin.update_database(request=request).result(timeout=10)
    after = admin.get_database(name=full)
    assert after.earliest_version_time > before.earliest_version_time
    assert after.version_retention_period < before.version_retention_period


def test_turned_on_again_history_starts_anew(firestore_stack: Stack) -> None:
    name = firestore_stack.database("front-history")
    _turn_history_off_and_on(firestore_stack, name)
    record = firestore_stack.admin().get_database(name=name)
    assert record.point_in_time_recovery_enablement == 1
    assert record.earliest_version_time >= record.create_time


def _turn_history_off_and_on(stack: Stack, name: str) -> None:
    for state in (2, 1):
        mask = {"paths": ["point_in_time_recovery_enablement"]}
        request = {"database": {"name": name, "point_in_time_recovery_enablement": state}, "update_mask": mask}
        stack.admin().update_database(request=request).result(timeout=10)


def test_listen_and_transactions_pass_through(firestore_stack: Stack, world: Any) -> None:
    seen: list[int] = []
    watch = world.document("live/one").on_snapshot(lambda found, changes, at: seen.append(len(found)))
    try:
        eventually(lambda: seen, 20, "the first snapshot")
        world.document("live/one").set({"n": 1})
        eventually(lambda: 1 in seen, 20, "the change")
    finally:
        watch.unsubscribe()
    transaction = world.transaction()
    with transaction:
        transaction._begin()
        transaction.set(world.document("live/two"), {"n": 2})
        transaction._commit()
    assert world.document("live/two").get().to_dict() == {"n": 2}
    assert world.collection("live").count().get()[0][0].value == 2


def test_acknowledged_writes_become_events(firestore_stack: Stack, world: Any) -> None:
    publisher = _emulator_topic(firestore_stack)
    world.document("events/one").set({"n": 1})
    world.document("events/one").update({"m": 2})
    world.document("events/one").delete()
    batch = world.bulk_writer()
    batch.set(world.document("events/two"), {"n": 3})
    batch.close()
    received: dict[str, list[bytes]] = {}

    def complete() -> bool:
        for message in publisher.pull(subscription=SUBSCRIPTION, max_messages=100, timeout=10).received_messages:
            name = message.message.attributes["ce-document"]
            assert message.message.attributes["ce-type"] == "google.cloud.firestore.document.v1.written"
            received.setdefault(name, []).append(message.message.data)
            publisher.acknowledge(subscription=SUBSCRIPTION, ack_ids=[message.ack_id])
        return len(received.get("events/one", ())) >= 3 and "events/two" in received

    eventually(complete, 30, "all four events")
    fields = [set(_document(data).fields) for data in received["events/one"] if data]
    assert {"n"} in fields
    assert {"n", "m"} in fields  # a partial update is told with the whole document
    assert b"" in received["events/one"]  # the delete


SUBSCRIPTION = f"projects/{PROJECT}/subscriptions/front-events"


def _document(data: bytes) -> Any:
    """DocumentEventData has the document after the write as its field 1, as ListDocumentsResponse has."""
    return types.ListDocumentsResponse.pb().FromString(data).documents[0]


def _emulator_topic(stack: Stack) -> Any:
    from google.cloud.pubsub_v1 import PublisherClient
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

    channel = stack.channel("operator", stack.pubsub)
    topics = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
    subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=stack.channel("operator", stack.pubsub)))
    topics.create_topic(name=TOPIC)
    subscriber.create_subscription(name=SUBSCRIPTION, topic=TOPIC)
    return subscriber


def test_operations_survive_a_kill_and_end_as_aborted(firestore_stack: Stack, world: Any) -> None:
    name = f"projects/{PROJECT}/databases/front-main"
    with firestore_stack.held():
        export = {"name": name, "output_uri_prefix": f"gs://{VAULT}/killed"}
        operation = firestore_stack.admin().export_documents(request=export).operation
        listed = firestore_stack.admin().list_operations(operations_pb2.ListOperationsRequest(name=name))
        assert operation.name in [one.name for one in listed.operations if not one.done]
        firestore_stack.stop("firestore", signal.SIGKILL)
        firestore_stack.start_front(requests_per_minute=1000, id_reservation=2, recent_window=20)
    found = firestore_stack.admin().get_operation(operations_pb2.GetOperationRequest(name=operation.name))
    assert found.done
    assert found.error.code == grpc.StatusCode.ABORTED.value[0]
    assert world.document("nothing/here").get().exists is False  # the same client goes on


def test_at_most_so_many_exports_at_once_and_a_minute(tmp_path: Path) -> None:
    """A lab of its own, because the limits are settings."""
    with running(tmp_path, concurrent=2, requests_per_minute=3) as stack:
        request = {"name": stack.database("front-limits")}
        admin = stack.admin()
        with stack.held():
            for number in range(2):
                admin.export_documents(request={**request, "output_uri_prefix": f"gs://{VAULT}/l{number}"})
            for number, sentence in ((2, "concurrent"), (3, "per minute")):
                with pytest.raises(exceptions.ResourceExhausted, match=sentence):
                    admin.export_documents(request={**request, "output_uri_prefix": f"gs://{VAULT}/l{number}"})
