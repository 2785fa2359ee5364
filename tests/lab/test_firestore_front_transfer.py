"""Export, import, clone, backup and restore by the real admin client."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core import exceptions
from google.cloud import firestore
from google.cloud.firestore_admin_v1 import types as admin

from dr.components.appdata.exportfile import read_export
from tests.lab.stack import PROJECT, VAULT, Stack, eventually, running

pytestmark = [pytest.mark.lab, pytest.mark.timeout(90)]
SOURCE = "transfer-source"


def contents(database: Any, collection: str = "jobs") -> dict[str, Any]:
    return {found.reference.path: found.to_dict() for found in database.collection_group(collection).stream()}


def next_whole(stack: Stack) -> datetime:
    """A whole granule that everything acknowledged so far precedes; it has passed when this returns."""
    step = stack.granularity
    instant = (time.time() // step + 1) * step
    eventually(lambda: time.time() > instant + 0.01, 90, "the instant")
    return datetime.fromtimestamp(instant, UTC)


@pytest.fixture(scope="module")
def source(firestore_stack: Stack) -> Any:
    firestore_stack.database(SOURCE)
    database = firestore_stack.client(SOURCE)
    for number in range(30):
        tenant = database.document(f"tenants/t-{number % 3}")
        value = {"n": number, "owner": tenant, "list": [{"owner": tenant}], "at": datetime.now(UTC), "raw": b"\x00\xff"}
        tenant.collection("jobs").document(str(number)).set(value)
    database.document("notes/first").set({"text": "hello", "spot": firestore.GeoPoint(1.5, 2.5), "none": None})
    return database


def export(stack: Stack, prefix: str, at: datetime | None, **more: Any) -> Any:
    request = {
        "name": f"projects/{PROJECT}/databases/{SOURCE}",
        "output_uri_prefix": prefix,
        "snapshot_time": at,
        **more,
    }
    return stack.admin().export_documents(request=request)


def test_an_export_holds_the_past_under_the_names_of_its_source(firestore_stack: Stack, source: Any) -> None:
    before = contents(source)
    at = next_whole(firestore_stack)
    source.document("tenants/t-0/jobs/0").delete()
    source.document("tenants/t-0/jobs/late").set({"n": -1})
    operation = export(firestore_stack, f"gs://{VAULT}/e1", at)
    assert operation.result(timeout=60).output_uri_prefix == f"gs://{VAULT}/e1"
    files = firestore_stack.objects(VAULT, "e1/")
    assert "e1/e1.overall_export_metadata" in files
    assert "e1/all_namespaces/all_kinds/all_namespaces_all_kinds.export_metadata" in files
    documents = list(read_export(lambda name: [files[name]], list(files)))
    assert {one.path for one in documents} == {*before, "notes/first"}
    assert {one.database for one in documents} == {f"projects/{PROJECT}/databases/{SOURCE}"}
    owner = next(one for one in documents if one.path == "tenants/t-1/jobs/1").fields["owner"]
    assert owner == {"referenceValue": f"projects/{PROJECT}/databases/{SOURCE}/documents/tenants/t-1"}
    assert operation.metadata.progress_documents.completed_work == len(documents)
    assert operation.metadata.snapshot_time == at
    assert operation.metadata.operation_state == admin.OperationState.SUCCESSFUL


def test_an_import_overwrites_same_names_and_leaves_others(firestore_stack: Stack, source: Any) -> None:
    expected = contents(source)
    export(firestore_stack, f"gs://{VAULT}/e2", next_whole(firestore_stack)).result(timeout=60)
    target = firestore_stack.database("transfer-imported")
    imported = firestore_stack.client("transfer-imported")
    imported.document("tenants/t-1/jobs/1").set({"n": "overwritten"})
    imported.document("tenants/t-1/jobs/mine").set({"n": "stays"})
    request = {"name": target, "input_uri_prefix": f"gs://{VAULT}/e2"}
    operation = firestore_stack.admin().import_documents(request=request)
    operation.result(timeout=60)
    found = contents(imported)
    assert found.pop("tenants/t-1/jobs/mine") == {"n": "stays"}
    assert set(found) == set(expected)
    assert found["tenants/t-1/jobs/1"]["raw"] == b"\x00\xff"
    assert found["tenants/t-1/jobs/1"]["owner"]._document_path.startswith(f"{target}/documents/tenants/t-1")


def test_a_clone_is_the_source_at_the_instant_and_unreadable_until_done(firestore_stack: Stack, source: Any) -> None:
    expected = contents(source)
    at = next_whole(firestore_stack)
    source.document("tenants/t-2/jobs/after").set({"n": 1})
    operations = firestore_stack.admin()
    record = operations.get_database(name=f"projects/{PROJECT}/databases/{SOURCE}")
    snapshot = {"database": record.name, "database_uid": record.uid.encode(), "snapshot_time": at}
    request = {"parent": f"projects/{PROJECT}", "database_id": "transfer-clone", "pitr_snapshot": snapshot}
    with firestore_stack.held():
        operation = operations.clone_database(request=request)
        with pytest.raises(exceptions.FailedPrecondition):
            firestore_stack.client("transfer-clone").document("notes/first").get(retry=None, timeout=10)
    assert operation.result(timeout=60).name.endswith("/transfer-clone")
    assert operation.metadata.progress_percentage.completed_work == 100
    assert set(contents(firestore_stack.client("transfer-clone"))) == set(expected)
    with pytest.raises(exceptions.AlreadyExists):
        operations.clone_database(request=request)


def test_a_collection_filter_and_only_that_can_be_imported_apart(firestore_stack: Stack, source: Any) -> None:
    at = next_whole(firestore_stack)
    export(firestore_stack, f"gs://{VAULT}/e3", at, collection_ids=["jobs", "notes"]).result(timeout=60)
    files = firestore_stack.objects(VAULT, "e3/")
    assert any("/kind_jobs/output-" in name for name in files)
    target = firestore_stack.database("transfer-filtered")
    request = {"name": target, "input_uri_prefix": f"gs://{VAULT}/e3", "collection_ids": ["notes"]}
    firestore_stack.admin().import_documents(request=request).result(timeout=60)
    filtered = firestore_stack.client("transfer-filtered")
    assert not contents(filtered)
    assert set(contents(filtered, "notes")) == {"notes/first"}
    export(firestore_stack, f"gs://{VAULT}/e4", at).result(timeout=60)
    with pytest.raises(exceptions.InvalidArgument, match="apart"):
        firestore_stack.admin().import_documents(request={**request, "input_uri_prefix": f"gs://{VAULT}/e4"})


def test_exports_are_refused_as_production_does(firestore_stack: Stack, source: Any) -> None:
    at = next_whole(firestore_stack)
    export(firestore_stack, f"gs://{VAULT}/e5", at).result(timeout=60)
    refusals: tuple[tuple[str, datetime, type[Exception]], ...] = (
        (f"gs://{VAULT}/e5", at, exceptions.InvalidArgument),  # not empty
        (f"gs://{VAULT}/e6", at + timedelta(milliseconds=5), exceptions.InvalidArgument),
        (f"gs://{VAULT}/e6", at + timedelta(hours=1), exceptions.InvalidArgument),
        (f"gs://{VAULT}/e6", at - timedelta(hours=1), exceptions.FailedPrecondition),
        ("file:///somewhere", at, exceptions.InvalidArgument),
        ("gs://energent-velero/e6", at, exceptions.PermissionDenied),  # the service agent may not
    )
    for prefix, instant, expected in refusals:
        with pytest.raises(expected):
            export(firestore_stack, prefix, instant)
    assert not firestore_stack.objects(VAULT, "e6/")


def test_a_bucket_alone_gets_a_folder_of_its_own(firestore_stack: Stack, source: Any) -> None:
    prefix = export(firestore_stack, f"gs://{VAULT}", next_whole(firestore_stack)).result(timeout=60).output_uri_prefix
    folder = prefix.removeprefix(f"gs://{VAULT}/")
    assert folder
    assert f"{folder}/{folder}.overall_export_metadata" in firestore_stack.objects(VAULT, f"{folder}/")


def test_a_cancelled_export_leaves_files_without_metadata(firestore_stack: Stack, source: Any) -> None:
    with firestore_stack.held():
        operation = export(firestore_stack, f"gs://{VAULT}/e7", next_whole(firestore_stack))
        operation.cancel()
    with pytest.raises(exceptions.Cancelled):
        operation.result(timeout=60)
    names = list(firestore_stack.objects(VAULT, "e7/"))
    assert names
    assert not [name for name in names if name.endswith("metadata")]
    request = {"name": firestore_stack.database("transfer-partial"), "input_uri_prefix": f"gs://{VAULT}/e7"}
    with pytest.raises(exceptions.NotFound):
        firestore_stack.admin().import_documents(request=request)


def test_an_empty_database_can_be_exported_and_imported(firestore_stack: Stack) -> None:
    name = firestore_stack.database("transfer-empty")
    request = {"name": name, "output_uri_prefix": f"gs://{VAULT}/empty"}
    at = next_whole(firestore_stack)
    firestore_stack.admin().export_documents(request={**request, "snapshot_time": at}).result(timeout=60)
    files = firestore_stack.objects(VAULT, "empty/")
    assert "empty/empty.overall_export_metadata" in files
    request = {"name": name, "input_uri_prefix": f"gs://{VAULT}/empty"}
    firestore_stack.admin().import_documents(request=request).result(timeout=60)


def test_backups_come_from_schedules_survive_their_database_and_restore(firestore_stack: Stack) -> None:
    name = firestore_stack.database("transfer-backed")
    database = firestore_stack.client("transfer-backed")
    database.document("jobs/1").set({"n": 1, "self": database.document("jobs/1")})
    operations = firestore_stack.admin()
    daily = {"retention": timedelta(days=7), "daily_recurrence": {}}
    operations.create_backup_schedule(parent=name, backup_schedule=daily)
    with pytest.raises(exceptions.AlreadyExists):
        operations.create_backup_schedule(parent=name, backup_schedule=daily)
    weekly = {"retention": timedelta(weeks=15), "weekly_recurrence": {"day": 1}}
    with pytest.raises(exceptions.InvalidArgument):
        operations.create_backup_schedule(parent=name, backup_schedule=weekly)
    fired = requests.post(f"{firestore_stack.control}/fire-backups?database=transfer-backed", timeout=60).json()
    backup = operations.get_backup(name=fired["backups"][0])
    assert (backup.database, backup.stats.document_count) == (name, 1)
    operations.delete_database(name=name).result(timeout=30)
    assert not [one for one in operations.list_databases(parent=f"projects/{PROJECT}").databases if one.name == name]
    request = {"parent": f"projects/{PROJECT}", "database_id": "transfer-restored", "backup": backup.name}
    operations.restore_database(request=request).result(timeout=60)
    restored = firestore_stack.client("transfer-restored").document("jobs/1").get().to_dict()
    assert restored["self"]._document_path.startswith(f"projects/{PROJECT}/databases/transfer-restored/")


def test_a_damaged_or_incomplete_export_is_not_imported(firestore_stack: Stack, source: Any) -> None:
    at = next_whole(firestore_stack)
    export(firestore_stack, f"gs://{VAULT}/e8", at, collection_ids=["jobs", "notes"]).result(timeout=60)
    output = "e8/all_namespaces/kind_notes/output-0"
    files = firestore_stack.objects(VAULT, "e8/")
    target = firestore_stack.database("transfer-damaged")
    flipped = bytearray(files[output])
    flipped[40] ^= 1
    without = {name: content for name, content in files.items() if name != output}
    jobs = "e8/all_namespaces/kind_jobs/output-0"
    first_record = files[jobs][: 7 + int.from_bytes(files[jobs][4:6], "little")]  # passes every checksum
    damaged = {"flipped": {**files, output: bytes(flipped)}, "missing": without, "cut": {**files, jobs: first_record}}
    for folder, content in damaged.items():
        for name, data in content.items():
            firestore_stack.upload(VAULT, f"{folder}/e8{name.removeprefix('e8')}", data)
        request = {"name": target, "input_uri_prefix": f"gs://{VAULT}/{folder}/e8"}
        operation = firestore_stack.admin().import_documents(request=request)
        with pytest.raises(exceptions.GoogleAPICallError):
            operation.result(timeout=60)
    assert not contents(firestore_stack.client("transfer-damaged"))


@pytest.mark.timeout(300)
def test_whole_real_minutes(tmp_path: Path) -> None:
    """The scale of production: an export at the last whole minute."""
    with running(tmp_path, granularity=60) as stack:
        name = stack.database("transfer-minutes")
        document = stack.client("transfer-minutes").document("jobs/1")
        document.set({"n": 1})
        at = next_whole(stack)
        assert (at.second, at.microsecond) == (0, 0)
        document.set({"n": 2})
        request = {"name": name, "output_uri_prefix": f"gs://{VAULT}/minute", "snapshot_time": at}
        stack.admin().export_documents(request=request).result(timeout=60)
        files = stack.objects(VAULT, "minute/")
        documents = list(read_export(lambda one: [files[one]], list(files)))
        assert [one.fields for one in documents] == [{"n": {"integerValue": "1"}}]
        late = {**request, "output_uri_prefix": f"gs://{VAULT}/second", "snapshot_time": at + timedelta(seconds=1)}
        with pytest.raises(exceptions.InvalidArgument):
            stack.admin().export_documents(request=late)
