"""Faults that the lab's Cloud Storage shows on request, as google-cloud-storage lives through them."""

import time
from collections.abc import Iterator

import pytest
import requests
from google.api_core import exceptions
from google.cloud import storage

from tests.contract.storage_server import Lab, Server, stop

DATA = b"0123456789" * 20_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    lab = Lab.start(tmp_path_factory.mktemp("lab"))
    started = Server(lab, tmp_path_factory.mktemp("storage"), ["--clock-offset", "600"]).start()
    started.client().create_bucket("wards")
    yield started
    started.stop()
    stop(lab.tokens)


@pytest.fixture
def bucket(server: Server) -> Iterator[storage.Bucket]:
    yield server.client().bucket("wards")
    server.control("DELETE", "/faults")


@pytest.mark.parametrize(("status", "error"), [(429, exceptions.TooManyRequests), (503, exceptions.ServiceUnavailable)])
def test_a_refusal_hits_the_named_object_so_many_times(
    server: Server, bucket: storage.Bucket, status: int, error: type[Exception]
) -> None:
    server.fault({"method": "POST", "bucket": "wards", "object": f"^hit-{status}$", "count": 2}, {"status": status})
    bucket.blob("other").upload_from_string(DATA)
    for _ in range(2):
        with pytest.raises(error):
            bucket.blob(f"hit-{status}").upload_from_string(DATA, retry=None)
        assert not bucket.blob(f"hit-{status}").exists()
    bucket.blob(f"hit-{status}").upload_from_string(DATA, retry=None)
    assert [fault["hits"] for fault in server.control("GET", "/faults")["items"]] == [2]  # type: ignore[attr-defined]


def test_the_client_retries_what_ends(server: Server, bucket: storage.Bucket) -> None:
    server.fault({"object": "retried", "count": 1}, {"status": 503})
    bucket.blob("retried").upload_from_string(DATA, if_generation_match=0)
    assert bucket.blob("retried").download_as_bytes() == DATA


def test_only_the_nth_request_is_hit(server: Server, bucket: storage.Bucket) -> None:
    server.fault({"method": "GET", "object": "nth", "nth": 3}, {"status": 403, "message": "not today"})
    bucket.blob("nth").upload_from_string(b"x")
    outcomes = []
    for _ in range(4):
        try:
            bucket.blob("nth").reload()
            outcomes.append("ok")
        except exceptions.Forbidden as error:
            outcomes.append(error.message.rpartition(" ")[2])
    assert outcomes == ["ok", "ok", "today", "ok"]


def test_a_delay(server: Server, bucket: storage.Bucket) -> None:
    server.fault({"object": "slow"}, {"delay_s": 0.3})
    begun = time.monotonic()
    bucket.blob("slow").upload_from_string(b"x")
    assert time.monotonic() - begun >= 0.3


def test_a_truncated_download_announces_more_than_it_sends(server: Server, bucket: storage.Bucket) -> None:
    bucket.blob("cut").upload_from_string(DATA)
    server.fault({"method": "GET", "object": "cut", "count": 0}, {"truncate": 0.25})
    answer = server.lab.session("operator").get(
        f"{server.url}/download/storage/v1/b/wards/o/cut?alt=media", stream=True
    )
    assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(len(DATA)))
    with pytest.raises(requests.exceptions.RequestException):
        list(answer.iter_content(1024))


def test_the_client_never_takes_a_truncated_download_for_whole(server: Server, bucket: storage.Bucket) -> None:
    bucket.blob("cut2").upload_from_string(DATA)
    server.fault({"method": "GET", "object": "cut2", "count": 1}, {"truncate": True})
    assert bucket.blob("cut2").download_as_bytes() == DATA


def test_a_commit_whose_answer_is_lost_looks_like_a_conflict(server: Server, bucket: storage.Bucket) -> None:
    server.fault({"method": "POST", "object": "lost"}, {"commit_then_drop": True})
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("lost").upload_from_string(DATA, if_generation_match=0)
    assert bucket.blob("lost").download_as_bytes() == DATA


def test_a_resumable_upload_survives_a_lost_answer(server: Server, bucket: storage.Bucket) -> None:
    server.fault({"method": "PUT", "object": "resumed", "nth": 2}, {"commit_then_drop": True})
    blob = bucket.blob("resumed", chunk_size=256 * 1024)
    blob.upload_from_string(DATA * 5, if_generation_match=0)
    assert bucket.blob("resumed").download_as_bytes() == DATA * 5


def test_faults_that_are_not_understood_are_refused(server: Server) -> None:
    address = f"http://127.0.0.1:{server.ports['control_port']}/faults"
    with requests.Session() as session:
        session.trust_env = False
        for body in ("{}", "x", '{"match": {"objct": "x"}, "action": {"status": 500}}', '{"action": {"status": "x"}}'):
            assert session.post(address, data=body, timeout=10).status_code == 400


def test_the_clock_is_ahead_by_its_offset_and_says_so(server: Server, bucket: storage.Bucket) -> None:
    answer = server.lab.session("operator").get(f"{server.url}/storage/v1/b/wards")
    stated = time.mktime(time.strptime(answer.headers["Date"], "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone
    assert 590 < stated - time.time() < 610
    bucket.blob("dated").upload_from_string(b"x")
    assert 590 < bucket.get_blob("dated").time_created.timestamp() - time.time() < 610


def test_statistics_count(server: Server, bucket: storage.Bucket) -> None:
    before = server.control("GET", "/stats")
    bucket.blob("counted").upload_from_string(b"12345")
    after = server.control("GET", "/stats")
    grown = {key: after[key] - before[key] for key in ("objects_created", "bytes_in", "commits")}  # type: ignore[operator]
    assert grown == {"objects_created": 1, "bytes_in": 5, "commits": 1}
