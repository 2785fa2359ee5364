"""The lab's Cloud Storage as Velero uses it: its real plugin binary over the plain listener, and the Go client's requests.

The plugin is a gRPC server of its own; these tests speak its protocol (`ObjectStore` of Velero's plugin API, Apache-2.0)
with the few fields that they need, as Velero does.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import requests

from lab import build
from tests.contract.storage_server import Lab, Server, die_with_parent, stop

BUCKET, NAME = "energent-velero", "velero.io/gcp"
BLOCK = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    lab = Lab.start(tmp_path_factory.mktemp("lab"))
    started = Server(lab, tmp_path_factory.mktemp("storage")).start()
    started.client().create_bucket(BUCKET)
    yield started
    started.stop()
    stop(lab.tokens)


def encode(*fields: tuple[int, bytes]) -> bytes:
    """A protobuf message of length-delimited fields."""
    return b"".join(bytes([number << 3 | 2]) + varint(len(value)) + value for number, value in fields)


def varint(number: int) -> bytes:
    head = b""
    while number > 127:
        head, number = head + bytes([number & 127 | 128]), number >> 7
    return head + bytes([number])


def decode(message: bytes) -> list[bytes]:
    """The values of a message whose fields are length-delimited or one-byte numbers."""
    values, at = [], 0
    while at < len(message):
        kind, at = message[at] & 7, at + 1
        length, shift = 0, 0
        while True:
            byte, at = message[at], at + 1
            length, shift = length | (byte & 127) << shift, shift + 7
            if byte < 128:
                break
        values.append(bytes([length]) if kind == 0 else message[at : at + length])
        at += length if kind == 2 else 0
    return values


@dataclass
class Plugin:
    """Velero's side of the plugin's ObjectStore service."""

    channel: grpc.Channel

    def call(self, method: str, *fields: str) -> list[bytes]:
        """A unary call: the plugin's name, then `fields` as fields 2, 3..."""
        values = [(number, value.encode()) for number, value in enumerate((NAME, *fields), 1)]
        answer: bytes = self.channel.unary_unary(f"/generated.ObjectStore/{method}")(encode(*values), timeout=20)
        return decode(answer)

    def put(self, key: str, data: bytes) -> None:
        """In blocks, as Velero streams a backup."""
        blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)] or [b""]
        head = ((1, NAME.encode()), (2, BUCKET.encode()), (3, key.encode()))
        stream = (encode(*head, (4, block)) for block in blocks)
        self.channel.stream_unary("/generated.ObjectStore/PutObject")(stream, timeout=60)

    def get(self, key: str) -> bytes:
        """The whole object."""
        request = encode((1, NAME.encode()), (2, BUCKET.encode()), (3, key.encode()))
        stream = self.channel.unary_stream("/generated.ObjectStore/GetObject")(request, timeout=60)
        return b"".join(value for message in stream for value in decode(message))


@pytest.fixture(scope="module")
def plugin(server: Server) -> Iterator[Plugin]:
    binary = build.find("velero-plugin-for-gcp")
    if binary is None:
        pytest.skip("velero-plugin-for-gcp is not built (python -m lab.build)")
    environment = {
        "PATH": os.environ["PATH"],
        "VELERO_PLUGIN": "hello",  # go-plugin's handshake; without it the binary refuses to start
        "STORAGE_EMULATOR_HOST": server.plain,
        "GOOGLE_APPLICATION_CREDENTIALS": str(server.lab.iam.key_file("velero")),
    }
    process = start(binary, environment)
    assert process.stdout is not None
    address = process.stdout.readline().split("|")[3]
    with grpc.insecure_channel(f"unix:{address}") as channel:
        ready = Plugin(channel)
        ready.call("Init")
        yield ready
    stop(process)


def start(binary: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(binary)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=die_with_parent,
    )


@pytest.mark.parametrize("size", [0, 10, 300_000, 17 * BLOCK])
def test_the_plugin_writes_and_reads(plugin: Plugin, server: Server, size: int) -> None:
    """The last size is above the Go client's chunk of 16 MiB, so that it goes through a resumable upload."""
    data, key = os.urandom(size), f"backups/one/{size}.tar.gz"
    plugin.put(key, data)
    assert plugin.get(key) == data
    assert server.client().bucket(BUCKET).blob(key).download_as_bytes() == data


def test_the_plugin_lists_finds_and_deletes(plugin: Plugin) -> None:
    for key in ("backups/a/velero-backup.json", "backups/b/velero-backup.json", "backups/b/x.gz"):
        plugin.put(key, b"{}")
    assert b"backups/a/" in plugin.call("ListCommonPrefixes", BUCKET, "/", "backups/")
    assert plugin.call("ListObjects", BUCKET, "backups/b/") == [b"backups/b/velero-backup.json", b"backups/b/x.gz"]
    assert plugin.call("ObjectExists", BUCKET, "backups/a/velero-backup.json") == [b"\x01"]
    plugin.call("DeleteObject", BUCKET, "backups/a/velero-backup.json")
    assert plugin.call("ObjectExists", BUCKET, "backups/a/velero-backup.json") == []


def test_the_plugin_sees_what_is_absent(plugin: Plugin) -> None:
    for attempt in (lambda: plugin.get("absent"), lambda: plugin.call("DeleteObject", BUCKET, "absent")):
        with pytest.raises(grpc.RpcError, match="object doesn't exist"):
            attempt()


def test_the_plugin_reports_a_write_that_failed_and_lives_through_failed_reads(plugin: Plugin, server: Server) -> None:
    """The Go client repeats reads, but no write without a precondition, and the plugin states none."""
    data = os.urandom(400_000)
    server.fault({"method": "POST", "object": "faulty"}, {"status": 503})
    with pytest.raises(grpc.RpcError, match="503"):
        plugin.put("faulty", data)
    assert plugin.call("ObjectExists", BUCKET, "faulty") == []
    plugin.put("faulty", data)
    for action in ({"status": 503}, {"truncate": True}):
        server.fault({"method": "GET", "object": "faulty"}, action)
        assert plugin.get("faulty") == data


@pytest.fixture
def go(server: Server) -> Iterator[Callable[..., requests.Response]]:
    """Requests to the plain listener without credentials, as the Go client makes them under STORAGE_EMULATOR_HOST."""
    with requests.Session() as session:
        session.trust_env = False
        yield lambda method, path, **more: session.request(method, server.plain + path, timeout=20, **more)


def test_an_anonymous_caller_of_the_plain_listener_is_velero(
    server: Server, go: Callable[..., requests.Response]
) -> None:
    assert go("GET", f"/storage/v1/b/{BUCKET}").status_code == 200
    server.lab.iam.revoke("velero", "storage.objects.list")
    refused = go("GET", f"/storage/v1/b/{BUCKET}/o?prefix=x&projection=full&alt=json")
    assert (refused.status_code, "velero@" in refused.json()["error"]["message"]) == (403, True)
    server.lab.iam.grant("velero", ["storage.objects.list"], "*")


def test_a_resumable_upload_that_avoids_308(go: Callable[..., requests.Response]) -> None:
    header, chunk = {"X-GUploader-No-308": "yes"}, b"x" * 256 * 1024
    begun = go("POST", f"/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name=go", json={}, headers=header)
    path = "/upload/" + begun.headers["Location"].partition("/upload/")[2]
    first = go("PUT", path, data=chunk, headers={**header, "Content-Range": f"bytes 0-{len(chunk) - 1}/*"})
    assert (first.status_code, first.headers["X-Http-Status-Code-Override"]) == (200, "308")
    total = len(chunk) + 1
    last = go("PUT", path, data=b"y", headers={**header, "Content-Range": f"bytes {total - 1}-{total - 1}/{total}"})
    assert (last.status_code, last.json()["size"]) == (200, str(total))


def test_reads_of_the_xml_api(go: Callable[..., requests.Response]) -> None:
    made = go("POST", f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=dir/o", data=b"0123456789")
    whole = go("GET", f"/{BUCKET}/dir/o")
    assert (whole.content, whole.headers["X-Goog-Generation"]) == (b"0123456789", made.json()["generation"])
    assert whole.headers["X-Goog-Hash"].startswith(f"crc32c={made.json()['crc32c']}")
    part = go("GET", f"/{BUCKET}/dir%2Fo", headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content, part.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    head = go("HEAD", f"/{BUCKET}/dir/o")
    assert (head.status_code, head.headers["Content-Length"]) == (200, "10")
    wrong = go("GET", f"/{BUCKET}/dir/o", headers={"x-goog-if-generation-match": "5"})
    assert wrong.status_code == 412
    absent = go("GET", f"/{BUCKET}/absent")
    assert (absent.status_code, b"<Code>NoSuchKey</Code>" in absent.content) == (404, True)
