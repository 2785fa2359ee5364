"""The Firestore adapter over real gRPC against a small server of our own: requests as sent, answers as read, errors as meant."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud.firestore_admin_v1 import types
from google.longrunning import operations_pb2

from dr.errors import CONFLICT, NOT_AUTHORISED, REJECTED, UNREACHABLE, DrError
from dr.vendors.firestore import Firestore
from dr.vendors.google import GoogleAccess

AT = datetime(2025, 5, 28, 10, tzinfo=UTC)
DATABASE = types.Database(name="projects/p/databases/db", uid="u1", location_id="us-central1", create_time=AT, etag="e")
DATABASE.point_in_time_recovery_enablement, DATABASE.delete_protection_state = 1, 2


def operation(metadata: Any, *, done: bool = False, error: str = "", response: Any = None) -> operations_pb2.Operation:
    found = operations_pb2.Operation(name="projects/p/databases/db/operations/1", done=done)
    found.metadata.Pack(type(metadata).pb(metadata))
    if error:
        found.error.code, found.error.message = 1, error
    elif response is not None:
        found.response.Pack(type(response).pb(response))
    return found


class Server(grpc.GenericRpcHandler):
    """Answers by method name, a list of them in order; keeps the raw requests."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.seen: list[tuple[str, bytes]] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = details.method.rpartition("/")[2]

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.seen.append((method, request))
            given = self.answers.get(method)
            if isinstance(given, list):
                given = given.pop(0)
            if isinstance(given, exceptions.GoogleAPICallError):
                context.abort(given.grpc_status_code, given.message)
            assert given is not None, method
            return bytes(given.SerializeToString())

        return grpc.unary_unary_rpc_method_handler(answer)

    def request(self, kind: Any) -> Any:
        return kind.deserialize(self.seen[-1][1])


class PlainAccess(GoogleAccess):
    def channel(self, endpoint: str, default_host: str) -> grpc.Channel:
        return grpc.insecure_channel(endpoint)


@pytest.fixture
def server() -> Iterator[tuple[Server, Firestore]]:
    handler = Server()
    running = grpc.server(ThreadPoolExecutor(2), handlers=[handler])
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    yield handler, Firestore(PlainAccess(firestore_endpoint=f"127.0.0.1:{port}"))
    running.stop(None).wait()


def test_a_database_is_read(server: tuple[Server, Firestore]) -> None:
    handler, api = server
    handler.answers["GetDatabase"] = types.Database.pb(DATABASE)
    found = api.database("p", "db")
    assert found is not None
    assert (found.id, found.uid, found.history, found.protected, found.created) == ("db", "u1", True, True, AT)
    assert found.earliest is None
    handler.answers["GetDatabase"] = exceptions.NotFound("no such database")
    assert api.database("p", "db") is None


def test_an_export_is_asked_for_once_and_read_back(server: tuple[Server, Firestore]) -> None:
    handler, api = server
    metadata = types.ExportDocumentsMetadata(output_uri_prefix="gs://v/x", snapshot_time=AT)
    metadata.progress_documents = types.Progress(estimated_work=9, completed_work=4)
    handler.answers["ExportDocuments"] = operation(metadata)
    started = api.export("p", "db", output="gs://v/x", snapshot=AT)
    asked = handler.request(types.ExportDocumentsRequest)
    assert (asked.name, asked.output_uri_prefix) == ("projects/p/databases/db", "gs://v/x")
    assert asked.snapshot_time.timestamp() == AT.timestamp()
    assert (started.kind, started.uri, started.snapshot) == ("ExportDocuments", "gs://v/x", AT)
    assert (started.documents, started.documents_total, started.done) == (4, 9, False)
    response = types.ExportDocumentsResponse(output_uri_prefix="gs://v/real")
    handler.answers["GetOperation"] = operation(metadata, done=True, response=response)
    assert api.operation(started.name).uri == "gs://v/real"
    handler.answers["GetOperation"] = operation(metadata, done=True, error="cancelled")
    assert api.operation(started.name).error == "cancelled"


def test_clone_import_create_and_delete_say_what_they_mean(server: tuple[Server, Firestore]) -> None:
    handler, api = server
    picture = types.PitrSnapshot(database="projects/p/databases/db", snapshot_time=AT)
    handler.answers["CloneDatabase"] = operation(types.CloneDatabaseMetadata(pitr_snapshot=picture))
    cloned = api.clone("p", "db", target="new", snapshot=AT)
    assert (cloned.kind, cloned.source, cloned.snapshot) == ("CloneDatabase", "projects/p/databases/db", AT)
    assert handler.request(types.CloneDatabaseRequest).database_id == "new"
    handler.answers["ImportDocuments"] = operation(types.ImportDocumentsMetadata(input_uri_prefix="gs://v/x"))
    assert api.load("p", "new", source="gs://v/x").uri == "gs://v/x"
    handler.answers["CreateDatabase"] = operation(types.CreateDatabaseMetadata())
    assert api.create_database("p", "new", location="eur3", protected=True, history=False).kind == "CreateDatabase"
    wanted = handler.request(types.CreateDatabaseRequest).database
    assert (wanted.location_id, wanted.delete_protection_state, wanted.point_in_time_recovery_enablement) == (
        "eur3",
        2,
        2,
    )
    handler.answers["DeleteDatabase"] = operation(types.DeleteDatabaseMetadata())
    api.delete_database("p", "new", etag="e")
    assert handler.request(types.DeleteDatabaseRequest).etag == "e"


def test_operations_come_from_every_page(server: tuple[Server, Firestore]) -> None:
    handler, api = server
    listed = operations_pb2.ListOperationsResponse(operations=[operation(types.CreateDatabaseMetadata())])
    handler.answers["ListOperations"] = listed
    assert [one.kind for one in api.operations("p", "db")] == ["CreateDatabase"]
    handler.answers["ListOperations"] = exceptions.NotFound("gone")
    assert api.operations("p", "db") == ()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.AlreadyExists("there is one"), CONFLICT),
        (exceptions.PermissionDenied("no"), NOT_AUTHORISED),
        (exceptions.FailedPrecondition("The requested snapshot version is too old."), REJECTED),
    ],
)
def test_refusals_are_of_the_catalogue_and_never_repeated(
    server: tuple[Server, Firestore], error: exceptions.GoogleAPICallError, kind: object
) -> None:
    handler, api = server
    handler.answers["CloneDatabase"] = error
    with pytest.raises(DrError) as caught:
        api.clone("p", "db", target="new", snapshot=AT)
    assert caught.value.kind is kind
    assert caught.value.message.startswith("cannot clone database db to new: ")
    assert len(handler.seen) == 1


def test_a_start_is_not_repeated_when_the_connection_breaks(server: tuple[Server, Firestore]) -> None:
    handler, api = server
    handler.answers["ExportDocuments"] = exceptions.ServiceUnavailable("Socket closed")
    with pytest.raises(DrError) as caught:
        api.export("p", "db", output="gs://v/x", snapshot=AT)
    assert caught.value.temporary
    assert len(handler.seen) == 1
    gone = Firestore(PlainAccess(firestore_endpoint="127.0.0.1:1"))
    with pytest.raises(DrError) as unreachable:
        gone.export("p", "db", output="gs://v/x", snapshot=AT)
    assert unreachable.value.kind is UNREACHABLE


def paged(handler: Server, *answers: Any) -> None:
    """Answers of ListOperations in order."""
    handler.answers["ListOperations"] = list(answers)


def listed(more: str = "") -> Any:
    return operations_pb2.ListOperationsResponse(
        operations=[operation(types.CreateDatabaseMetadata())], next_page_token=more
    )


@pytest.mark.parametrize("expired", [exceptions.InvalidArgument("token expired"), exceptions.NotFound("no such page")])
def test_i4_a_refused_token_of_a_later_page_begins_the_list_anew(
    server: tuple[Server, Firestore], expired: exceptions.GoogleAPICallError
) -> None:
    """Half a list, or none, would look as if an export had never been started, and a second one would be."""
    handler, api = server
    paged(handler, listed("t1"), expired, listed("t2"), listed())
    assert len(api.operations("p", "db")) == 2
    paged(handler, *[answer for _ in range(3) for answer in (listed("t"), expired)])
    with pytest.raises(DrError, match="expired three times") as caught:
        api.operations("p", "db")
    assert caught.value.temporary
