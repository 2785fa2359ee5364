"""What google-cloud-storage may expect of Cloud Storage, held against the lab's server.

With DR_CONFORMANCE_BUCKET=name the same suite speaks to that real bucket with Application Default Credentials, under a
prefix of its own (object retention must be enabled on it, versioning off); tests that need the lab's control or other
identities are skipped then. The basic part runs against fake-gcs-server too, as a cross-check, where it is built.
"""

import base64
import datetime as dt
import io
import json
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import google_crc32c
import pytest
import requests
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from lab import build
from tests.contract.storage_server import PROJECT, Lab, Server, die_with_parent, stop

REAL_BUCKET = os.environ.get("DR_CONFORMANCE_BUCKET", "")
LAB_ONLY = pytest.mark.skipif(bool(REAL_BUCKET), reason="needs a bucket or an identity of its own")
HOUR = dt.timedelta(hours=1)
QUARTER_MIB = 256 * 1024


@dataclass(frozen=True)
class Place:
    """A bucket and a prefix that belong to one test."""

    client: storage.Client
    bucket: storage.Bucket
    prefix: str

    def blob(self, name: str) -> storage.Blob:
        """An object of this test."""
        return self.bucket.blob(self.prefix + name)

    def names(self, **options: object) -> list[str]:
        """Names below the prefix, without it."""
        found = self.client.list_blobs(self.bucket, prefix=self.prefix, **options)
        return [blob.name.removeprefix(self.prefix) for blob in found]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    started = Lab.start(tmp_path_factory.mktemp("lab"))
    yield started
    stop(started.tokens)


@pytest.fixture(scope="module")
def server(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(lab, tmp_path_factory.mktemp("storage")).start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def vault(request: pytest.FixtureRequest) -> storage.Bucket:
    """A bucket with object retention."""
    if REAL_BUCKET:
        return storage.Client().get_bucket(REAL_BUCKET)
    client = request.getfixturevalue("server").client()
    return client.create_bucket("vault", location="us-east1", enable_object_retention=True)


@pytest.fixture
def place(vault: storage.Bucket) -> Place:
    return Place(vault.client, vault, f"conformance/{uuid.uuid4().hex}/")


@pytest.fixture(scope="module")
def fake() -> Iterator[storage.Client]:
    binary = build.find("fake-gcs-server")
    if binary is None:
        pytest.skip("fake-gcs-server is not built (python -m lab.build)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    flags = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory", "-log-level", "error"]
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [str(binary), *flags, "-external-url", url, "-public-host", url], preexec_fn=die_with_parent, text=True
    )
    session = requests.Session()
    session.trust_env = False
    options = {"api_endpoint": url}
    client = storage.Client(PROJECT, credentials=AnonymousCredentials(), _http=session, client_options=options)
    _wait_for(lambda: _listens(port))
    client.create_bucket("vault")
    yield client
    stop(process)


@pytest.fixture(params=["lab", "fake-gcs-server"])
def basic(request: pytest.FixtureRequest) -> Place:
    """The place again, and its like in fake-gcs-server."""
    if request.param == "lab":
        found: Place = request.getfixturevalue("place")
        return found
    client: storage.Client = request.getfixturevalue("fake")
    return Place(client, client.bucket("vault"), f"{uuid.uuid4().hex}/")


@pytest.fixture
def scratch(server: Server) -> storage.Bucket:
    """A bucket of the test's own: versioning, policies and deletion."""
    return server.client().create_bucket(f"scratch-{uuid.uuid4().hex[:12]}")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def crc(data: bytes) -> str:
    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode()


def _report(label: str, result: object) -> None:
    pytest.fail(f"{label} went through: {result}")


def later(by: dt.timedelta = HOUR) -> dt.datetime:
    return (dt.datetime.now(dt.UTC) + by).replace(microsecond=0)


# --- bytes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 3_000_000])
def test_bytes_come_back_with_length_and_checksum(basic: Place, size: int) -> None:
    data, blob = os.urandom(size), basic.blob("o")
    blob.upload_from_string(data, if_generation_match=0, checksum="crc32c")
    found = basic.bucket.get_blob(blob.name)
    assert (found.size, found.crc32c) == (size, crc(data))
    assert found.download_as_bytes(checksum="crc32c") == data


@pytest.mark.parametrize("known", [True, False])
def test_resumable_upload_in_chunks(basic: Place, known: bool) -> None:
    data, blob = os.urandom(3 * QUARTER_MIB + 17), basic.blob("o")
    blob.chunk_size = QUARTER_MIB
    blob.upload_from_file(io.BytesIO(data), size=len(data) if known else None, if_generation_match=0)
    assert blob.crc32c == crc(data)
    assert basic.bucket.blob(blob.name).download_as_bytes() == data


@pytest.mark.parametrize("size", [1000, 1_000_000])
def test_ranges(basic: Place, size: int) -> None:
    data, blob = os.urandom(size), basic.blob("o")
    blob.upload_from_string(data)
    assert blob.download_as_bytes(start=10, end=19) == data[10:20]
    assert blob.download_as_bytes(start=size - 5) == data[-5:]
    assert blob.download_as_bytes(start=-7) == data[-7:]
    with pytest.raises(exceptions.RequestRangeNotSatisfiable):
        blob.download_as_bytes(start=size)


def test_names_survive_quoting(place: Place) -> None:
    for name in ("a/b", "a//b", "spaß & $+ #?%2F", "日本/\U0001f600", "trailing/", "a=b;c"):
        place.blob(name).upload_from_string(name.encode())
        assert place.blob(name).download_as_bytes() == name.encode()
    assert place.names()[0] == "a//b"


@pytest.mark.parametrize("field", ["crc32c", "md5_hash"])
def test_bytes_that_contradict_their_checksum_are_refused(place: Place, field: str) -> None:
    blob = place.blob("o")
    setattr(blob, field, crc(b"other") if field == "crc32c" else base64.b64encode(b"0" * 16).decode())
    with pytest.raises(exceptions.BadRequest, match="match"):
        blob.upload_from_string(b"data", checksum=None)
    assert not place.blob("o").exists()


def test_metadata_and_its_changes(basic: Place) -> None:
    blob = basic.blob("o")
    blob.metadata, blob.content_type = {"a": "1", "b": "2"}, "text/x-test"
    blob.upload_from_string(b"data", content_type="text/x-test")
    found = basic.bucket.get_blob(blob.name)
    assert (found.metadata, found.content_type, found.metageneration) == ({"a": "1", "b": "2"}, "text/x-test", 1)
    found.metadata = {"a": "3"}
    found.patch(if_metageneration_match=1)
    assert basic.bucket.get_blob(blob.name).metadata["a"] == "3"
    assert basic.bucket.get_blob(blob.name).generation == blob.generation


def test_patch_merges_and_null_removes(place: Place) -> None:
    blob = place.blob("o")
    blob.metadata, blob.cache_control = {"a": "1", "b": "2"}, "no-store"
    blob.upload_from_string(b"x")
    blob.metadata, blob.cache_control = {"b": None, "c": "3"}, None
    blob.patch()
    found = place.bucket.get_blob(blob.name)
    assert (found.metadata, found.cache_control, found.metageneration) == ({"a": "1", "c": "3"}, None, 2)
    found.metadata = {"only": "this"}
    found.update()
    assert place.bucket.get_blob(blob.name).metadata == {"only": "this"}


# --- preconditions ---------------------------------------------------------------------------------------------------


def test_create_only(basic: Place) -> None:
    basic.blob("o").upload_from_string(b"first", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        basic.blob("o").upload_from_string(b"second", if_generation_match=0)
    assert basic.blob("o").download_as_bytes() == b"first"


def test_preconditions_on_every_verb(place: Place) -> None:
    blob = place.blob("o")
    blob.upload_from_string(b"first")
    wrong, client = blob.generation + 1, place.client
    other = place.blob("other")
    attempts = {
        "upload": lambda: place.blob("o").upload_from_string(b"x", if_generation_match=wrong),
        "upload, metageneration": lambda: place.blob("o").upload_from_string(b"x", if_metageneration_match=9),
        "upload, not": lambda: place.blob("o").upload_from_string(b"x", if_generation_not_match=blob.generation),
        "get": lambda: place.blob("o").reload(if_generation_match=wrong),
        "media": lambda: place.blob("o").download_as_bytes(if_generation_match=wrong),
        "patch": lambda: place.blob("o").patch(if_generation_match=wrong),
        "patch, metageneration": lambda: place.blob("o").patch(if_metageneration_match=7),
        "update": lambda: place.blob("o").update(if_metageneration_match=7),
        "delete": lambda: place.blob("o").delete(if_generation_match=wrong),
        "delete, metageneration": lambda: place.blob("o").delete(if_metageneration_not_match=1),
        "compose": lambda: other.compose([blob], if_generation_match=5),
        "compose, source": lambda: other.compose([blob], if_source_generation_match=[wrong]),
        "rewrite": lambda: other.rewrite(blob, if_generation_match=5),
        "rewrite, source": lambda: other.rewrite(blob, if_source_generation_match=wrong),
        "copy": lambda: place.bucket.copy_blob(blob, place.bucket, other.name, if_source_metageneration_match=4),
    }
    for label, attempt in attempts.items():
        with pytest.raises(exceptions.PreconditionFailed):
            _report(label, attempt())
    assert place.names() == ["o"]
    assert client.bucket(place.bucket.name).get_blob(blob.name).generation == blob.generation


def test_of_many_creators_one_wins(place: Place) -> None:
    def create(number: int) -> bool:
        try:
            place.blob("o").upload_from_string(str(number) * 70_000, if_generation_match=0, retry=None)
        except exceptions.PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(8)))
    assert won.count(True) == 1
    assert place.blob("o").download_as_bytes() == str(won.index(True)).encode() * 70_000


def test_reading_what_has_not_changed(place: Place) -> None:
    blob = place.blob("o")
    blob.upload_from_string(b"first")
    with pytest.raises(exceptions.NotModified):
        place.blob("o").reload(if_generation_not_match=blob.generation)


def test_what_is_absent_is_404(basic: Place) -> None:
    absent = basic.blob("absent")
    assert not absent.exists()
    assert basic.bucket.get_blob(absent.name) is None
    for call in (absent.reload, absent.delete, absent.download_as_bytes):
        with pytest.raises(exceptions.NotFound):
            call()
    with pytest.raises(exceptions.NotFound):
        basic.client.get_bucket(f"no-such-bucket-{uuid.uuid4().hex}")


# --- listing ---------------------------------------------------------------------------------------------------------


def test_listing_in_pages_with_offsets_and_folders(basic: Place) -> None:
    for name in ("a", "b/1", "b/2", "b/c/3", "d", "e/4"):
        basic.blob(name).upload_from_string(b"")
    assert basic.names(page_size=2) == ["a", "b/1", "b/2", "b/c/3", "d", "e/4"]
    start, end = basic.prefix + "b/2", basic.prefix + "e"
    assert basic.names(start_offset=start, end_offset=end) == ["b/2", "b/c/3", "d"]
    found = basic.client.list_blobs(basic.bucket, prefix=basic.prefix, delimiter="/")
    assert [blob.name.removeprefix(basic.prefix) for blob in found] == ["a", "d"]
    assert sorted(found.prefixes) == [basic.prefix + "b/", basic.prefix + "e/"]


def test_folders_across_pages_and_a_limit(place: Place) -> None:
    for name in ("a/1", "a/2", "b", "c/1", "d/1", "d/2", "e"):
        place.blob(name).upload_from_string(b"")
    found = place.client.list_blobs(place.bucket, prefix=place.prefix, delimiter="/", page_size=2)
    assert [blob.name.removeprefix(place.prefix) for blob in found] == ["b", "e"]
    assert sorted(found.prefixes) == [place.prefix + folder for folder in ("a/", "c/", "d/")]
    assert place.names(max_results=3) == ["a/1", "a/2", "b"]


def test_fields_reduce_the_answer(place: Place) -> None:
    place.blob("o").upload_from_string(b"data")
    found = next(iter(place.client.list_blobs(place.bucket, prefix=place.prefix, fields="items(name,size)")))
    assert set(found._properties) == {"name", "size"}


# --- copies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [100, 200_000])
def test_compose(basic: Place, size: int) -> None:
    parts = [os.urandom(size), os.urandom(size)]
    blobs = [basic.blob(f"part-{number}") for number in range(2)]
    for blob, part in zip(blobs, parts, strict=True):
        blob.upload_from_string(part)
    whole = basic.blob("whole")
    whole.compose(blobs)
    assert basic.blob("whole").download_as_bytes() == b"".join(parts)
    assert basic.bucket.get_blob(whole.name).crc32c == crc(b"".join(parts))


def test_a_composite_has_no_md5_and_counts_its_parts(place: Place) -> None:
    blob, whole = place.blob("part"), place.blob("whole")
    blob.upload_from_string(b"x")
    whole.compose([blob, blob])
    whole.compose([whole, blob])
    assert (whole.md5_hash, whole.component_count, place.blob("whole").download_as_bytes()) == (None, 3, b"xxx")


@pytest.mark.parametrize("size", [100, 200_000])
def test_rewrite_keeps_bytes_when_the_source_goes(basic: Place, size: int) -> None:
    data, source, target = os.urandom(size), basic.blob("source"), basic.blob("target")
    source.metadata = {"k": "v"}
    source.upload_from_string(data)
    token, done, total = target.rewrite(source)
    assert (token, done, total) == (None, size, size)
    source.delete()
    assert basic.blob("target").download_as_bytes() == data
    assert basic.bucket.get_blob(target.name).metadata == {"k": "v"}


def test_batch(place: Place) -> None:
    for name in ("a", "b", "c"):
        place.blob(name).upload_from_string(b"x")
    with place.client.batch():
        place.blob("a").delete()
        place.blob("b").delete()
    assert place.names() == ["c"]
    with place.client.batch(raise_exception=False) as batch:
        place.blob("a").delete()
        place.blob("c").delete()
    assert [answer.status_code for answer in batch._responses] == [404, 204]
    assert place.names() == []


# --- holds and retention ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hold", ["temporary_hold", "event_based_hold"])
def test_a_hold_forbids_deletion_and_replacement(place: Place, hold: str) -> None:
    blob = place.blob("o")
    blob.upload_from_string(b"kept")
    setattr(blob, hold, True)
    blob.patch()
    for attempt in (blob.delete, lambda: place.blob("o").upload_from_string(b"x")):
        with pytest.raises(exceptions.Forbidden, match="hold"):
            attempt()
    assert place.blob("o").download_as_bytes() == b"kept"
    setattr(blob, hold, False)
    blob.patch()
    blob.delete()


def test_unlocked_retention(place: Place) -> None:
    blob = place.blob("o")
    blob.upload_from_string(b"kept")
    blob.retention.mode, blob.retention.retain_until_time = "Unlocked", later()
    blob.patch()
    assert place.bucket.get_blob(blob.name).retention.retain_until_time == blob.retention.retain_until_time
    for attempt in (blob.delete, lambda: place.blob("o").upload_from_string(b"x"), lambda: blob.compose([blob])):
        with pytest.raises(exceptions.Forbidden, match="retention"):
            attempt()
    blob.retention.mode, blob.retention.retain_until_time = None, None
    with pytest.raises(exceptions.Forbidden):
        blob.patch()
    blob.retention.mode, blob.retention.retain_until_time = None, None
    blob.patch(override_unlocked_retention=True)
    blob.delete()


@LAB_ONLY
def test_locked_retention_only_grows_and_ends_by_the_clock(place: Place, server: Server) -> None:
    blob, until = place.blob("o"), later()
    blob.upload_from_string(b"kept")
    blob.retention.mode, blob.retention.retain_until_time = "Locked", until
    blob.patch()
    weaker: list[tuple[str | None, dt.datetime | None]] = [
        ("Locked", until - HOUR / 2),
        ("Unlocked", until + HOUR),
        (None, None),
    ]
    for mode, end in weaker:
        changed = place.blob("o")
        changed.retention.mode, changed.retention.retain_until_time = mode, end
        with pytest.raises(exceptions.Forbidden):
            changed.patch(override_unlocked_retention=True)
    blob.retention.retain_until_time = until + HOUR
    blob.patch()
    server.control("POST", "/clock", {"offset_s": 3600 * 1.5})
    try:
        with pytest.raises(exceptions.Forbidden, match="retention"):
            blob.delete()
        server.control("POST", "/clock", {"offset_s": 3600 * 2.1})
        blob.delete()
    finally:
        server.control("POST", "/clock", {"offset_s": 0})


@LAB_ONLY
def test_an_object_can_be_born_retained(place: Place, server: Server) -> None:
    until = later().isoformat().replace("+00:00", "Z")
    metadata = {"name": place.prefix + "o", "retention": {"mode": "Unlocked", "retainUntilTime": until}}
    body = f"--x\r\n\r\n{json.dumps(metadata)}\r\n--x\r\nContent-Type: text/plain\r\n\r\nkept\r\n--x--".encode()
    address = f"{server.url}/upload/storage/v1/b/{place.bucket.name}/o?uploadType=multipart"
    headers = {"Content-Type": "multipart/related; boundary=x"}
    answer = server.lab.session("operator").post(address, data=body, headers=headers)
    assert (answer.status_code, answer.json()["retention"]["mode"]) == (200, "Unlocked")
    with pytest.raises(exceptions.Forbidden, match="retention"):
        place.blob("o").delete()


def test_retention_that_makes_no_sense_is_refused(place: Place) -> None:
    blob = place.blob("o")
    blob.upload_from_string(b"kept")
    for until in (later(-HOUR), later(dt.timedelta(days=40_000))):
        blob.retention.mode, blob.retention.retain_until_time = "Unlocked", until
        with pytest.raises(exceptions.BadRequest):
            blob.patch()
    blob.event_based_hold = True
    blob.retention.mode, blob.retention.retain_until_time = "Unlocked", later()
    with pytest.raises(exceptions.BadRequest):
        blob.patch()


@LAB_ONLY
def test_retention_needs_a_bucket_that_allows_it(scratch: storage.Bucket) -> None:
    blob = scratch.blob("o")
    blob.upload_from_string(b"x")
    blob.retention.mode, blob.retention.retain_until_time = "Unlocked", later()
    with pytest.raises(exceptions.BadRequest):
        blob.patch()


@LAB_ONLY
def test_bucket_retention_policy_and_its_lock(scratch: storage.Bucket) -> None:
    scratch.retention_period = 3600
    scratch.patch()
    scratch.blob("o").upload_from_string(b"kept")
    with pytest.raises(exceptions.Forbidden, match="retention"):
        scratch.blob("o").delete()
    assert scratch.get_blob("o").retention_expiration_time > dt.datetime.now(dt.UTC)
    scratch.lock_retention_policy()
    assert scratch.retention_policy_locked
    scratch.retention_period = 60
    with pytest.raises(exceptions.Forbidden):
        scratch.patch()
    scratch.reload()
    scratch.retention_period = 7200
    scratch.patch()
    assert scratch.retention_policy_locked
    with pytest.raises(exceptions.Conflict):
        scratch.delete()


# --- versions and undeletion -----------------------------------------------------------------------------------------


@LAB_ONLY
def test_versions(scratch: storage.Bucket) -> None:
    scratch.versioning_enabled = True
    scratch.patch()
    generations = []
    for data in (b"one", b"two"):
        blob = scratch.blob("o")
        blob.upload_from_string(data)
        generations.append(blob.generation)
    scratch.blob("o").delete()
    assert list(scratch.list_blobs()) == []
    assert [blob.generation for blob in scratch.list_blobs(versions=True)] == generations
    assert scratch.blob("o", generation=generations[0]).download_as_bytes() == b"one"
    scratch.copy_blob(scratch.blob("o"), scratch, "o", source_generation=generations[0])
    assert scratch.blob("o").download_as_bytes() == b"one"
    scratch.blob("o", generation=generations[1]).delete()
    assert generations[1] not in [blob.generation for blob in scratch.list_blobs(versions=True)]


@LAB_ONLY
def test_soft_deleted_objects_come_back_until_their_time_is_over(scratch: storage.Bucket, server: Server) -> None:
    blob = scratch.blob("o")
    blob.upload_from_string(b"x" * 100_000)
    blob.delete()
    gone = list(scratch.list_blobs(soft_deleted=True))
    assert [each.generation for each in gone] == [blob.generation]
    assert gone[0].hard_delete_time - gone[0].soft_delete_time == dt.timedelta(days=7)
    restored = scratch.restore_blob("o", generation=blob.generation)
    assert restored.generation > blob.generation
    assert scratch.blob("o").download_as_bytes() == b"x" * 100_000
    try:
        server.control("POST", "/clock", {"offset_s": 8 * 86_400})
        assert list(scratch.list_blobs(soft_deleted=True)) == []
        assert scratch.blob("o").download_as_bytes() == b"x" * 100_000
    finally:
        server.control("POST", "/clock", {"offset_s": 0})


@LAB_ONLY
def test_buckets(server: Server, scratch: storage.Bucket) -> None:
    client = server.client()
    with pytest.raises(exceptions.Conflict):
        client.create_bucket(scratch.name)
    scratch.labels = {"a": "b"}
    scratch.patch(if_metageneration_match=1)
    with pytest.raises(exceptions.PreconditionFailed):
        scratch.patch(if_metageneration_match=1)
    assert client.get_bucket(scratch.name).labels == {"a": "b"}
    assert scratch.name in [each.name for each in client.list_buckets()]
    scratch.delete()
    assert not client.bucket(scratch.name).exists()


# --- who may ---------------------------------------------------------------------------------------------------------


@LAB_ONLY
def test_each_verb_needs_its_permission(place: Place, server: Server, lab: Lab) -> None:
    blob = place.blob("o")
    blob.upload_from_string(b"x")
    bucket = server.client("capture").bucket(place.bucket.name)
    mine, new = bucket.blob(blob.name), bucket.blob(place.prefix + "new")
    verbs = {
        "storage.objects.get": mine.download_as_bytes,
        "storage.objects.list": lambda: list(bucket.list_blobs(prefix=place.prefix)),
        "storage.objects.create": lambda: new.upload_from_string(b"x"),
        "storage.objects.update": mine.patch,
        "storage.objects.delete": mine.delete,
        "storage.buckets.get": bucket.reload,
        "storage.buckets.update": bucket.patch,
    }
    for permission, verb in verbs.items():
        with pytest.raises(exceptions.Forbidden, match=permission):
            verb()
        lab.iam.grant("capture", [permission], f"buckets/{bucket.name}")
        verb()
        lab.iam.revoke("capture", permission)


@LAB_ONLY
def test_replacing_needs_delete_and_create_only_does_not(place: Place, server: Server, lab: Lab) -> None:
    lab.iam.grant("capture", ["storage.objects.create"], f"buckets/{place.bucket.name}")
    blob = server.client("capture").bucket(place.bucket.name).blob(place.prefix + "o")
    blob.upload_from_string(b"x", if_generation_match=0)
    with pytest.raises(exceptions.Forbidden, match=r"storage\.objects\.delete"):
        blob.upload_from_string(b"y")
    with pytest.raises(exceptions.PreconditionFailed):
        blob.upload_from_string(b"y", if_generation_match=0)
    blob.retention.mode, blob.retention.retain_until_time = "Locked", later()
    with pytest.raises(exceptions.Forbidden, match=r"storage\.objects\.update"):
        blob.patch()
    lab.iam.grant("capture", ["storage.objects.update"], f"buckets/{place.bucket.name}")
    blob.retention.mode, blob.retention.retain_until_time = "Unlocked", later()
    with pytest.raises(exceptions.Forbidden, match=r"storage\.objects\.setRetention"):
        blob.patch()
    lab.iam.revoke("capture", "*")


def test_permissions_can_be_asked(place: Place) -> None:
    wanted = ["storage.objects.create", "storage.objects.get"]
    assert sorted(place.bucket.test_iam_permissions(wanted)) == wanted


@LAB_ONLY
def test_permissions_that_are_lacking_are_left_out(place: Place, server: Server, lab: Lab) -> None:
    lab.iam.grant("restore", ["storage.objects.get"], f"buckets/{place.bucket.name}")
    bucket = server.client("restore").bucket(place.bucket.name)
    assert bucket.test_iam_permissions(["storage.objects.get", "storage.objects.delete"]) == ["storage.objects.get"]


@LAB_ONLY
def test_a_caller_without_a_believable_token_is_401(server: Server) -> None:
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(server.lab.ca.certificate)
        for headers in ({}, {"Authorization": "Bearer made-up"}):
            answer = session.get(f"{server.url}/storage/v1/b/vault", headers=headers, timeout=10)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, 401)
