"""What google-cloud-kms may expect of Cloud KMS, held against the lab's.

With DR_CONFORMANCE_KEY_RING=projects/P/locations/L/keyRings/R the same suite speaks to that real key ring with Application
Default Credentials: it makes the keys `conformance` and `conformance-sign` once and a few versions of them each time,
whose destruction it schedules. What needs the lab's control or its identities is skipped then.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import google_crc32c
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.api_core import exceptions
from google.cloud import kms_v1
from google.iam.v1 import iam_policy_pb2

from dr.vendors.google import GoogleAccess
from dr.vendors.kms import Kms
from tests.contract.kms_server import CONFIG_KEYS, EVIDENCE_KEY, KmsServer, start_lab
from tests.contract.storage_server import stop

REAL_RING = os.environ.get("DR_CONFORMANCE_KEY_RING", "")
LAB_ONLY = pytest.mark.skipif(bool(REAL_RING), reason="needs the lab's control or its identities")
pytestmark = pytest.mark.timeout(120)
MISMATCH = r"(?i)checksum.*did not match"
State = kms_v1.CryptoKeyVersion.CryptoKeyVersionState


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KmsServer]:
    lab = start_lab(tmp_path_factory.mktemp("lab"))
    started = KmsServer(lab, tmp_path_factory.mktemp("kms")).start()
    yield started
    started.stop()
    stop(lab.tokens)


@pytest.fixture(scope="module")
def client(request: pytest.FixtureRequest) -> Any:
    """The official client, as one who may do everything."""
    return Kms(GoogleAccess()).client if REAL_RING else request.getfixturevalue("server").kms("operator").client


@pytest.fixture(scope="module")
def ring() -> str:
    return REAL_RING or CONFIG_KEYS[0].partition("/cryptoKeys/")[0]


def ensured(client: Any, ring: str, name: str, purpose: int, algorithm: int) -> str:
    template = kms_v1.CryptoKeyVersionTemplate(algorithm=algorithm)
    key = kms_v1.CryptoKey(purpose=purpose, version_template=template)
    with contextlib.suppress(exceptions.AlreadyExists):
        client.create_crypto_key(parent=ring, crypto_key_id=name, crypto_key=key)
    return f"{ring}/cryptoKeys/{name}"


@pytest.fixture(scope="module")
def key(client: Any, ring: str) -> str:
    return ensured(client, ring, "conformance", 1, 1)


@pytest.fixture(scope="module")
def signing(client: Any, ring: str) -> str:
    """A version of a signing key."""
    return ensured(client, ring, "conformance-sign", 5, 12) + "/cryptoKeyVersions/1"


@pytest.fixture
def version(client: Any, key: str) -> Iterator[str]:
    """A version of this test's own, not the primary one."""
    made = client.create_crypto_key_version(parent=key, crypto_key_version={}).name
    yield made
    if client.get_crypto_key_version(name=made).state in (State.ENABLED, State.DISABLED):
        client.destroy_crypto_key_version(name=made)


def encrypt(client: Any, name: str, plain: bytes = b"data key", aad: bytes = b"context", **more: Any) -> Any:
    return client.encrypt(
        request={"name": name, "plaintext": plain, "additional_authenticated_data": aad, **more}, retry=None
    )


def decrypt(client: Any, name: str, ciphertext: bytes, aad: bytes = b"context", **more: Any) -> Any:
    return client.decrypt(
        request={"name": name, "ciphertext": ciphertext, "additional_authenticated_data": aad, **more}, retry=None
    )


# --- encrypt and decrypt


@pytest.mark.parametrize("size", [1, 32, 65_536])
def test_what_was_encrypted_decrypts(client: Any, key: str, size: int) -> None:
    plain = os.urandom(size)
    sealed = encrypt(client, key, plain)
    assert plain not in sealed.ciphertext or size == 1
    assert sealed.name.startswith(f"{key}/cryptoKeyVersions/")
    answer = decrypt(client, key, sealed.ciphertext)
    assert (answer.plaintext, answer.used_primary) == (plain, True)


@pytest.mark.parametrize("sizes", [(65_537, 1), (1, 65_537)])
def test_more_than_64_kib_is_refused(client: Any, key: str, sizes: tuple[int, int]) -> None:
    """Of plaintext or of context."""
    with pytest.raises(exceptions.InvalidArgument):
        encrypt(client, key, b"x" * sizes[0], b"x" * sizes[1])


@pytest.mark.parametrize("aad", [b"", b"other", b"context "])
def test_another_context_does_not_open(client: Any, key: str, aad: bytes) -> None:
    with pytest.raises(exceptions.InvalidArgument) as caught:
        decrypt(client, key, encrypt(client, key).ciphertext, aad)
    assert not isinstance(caught.value, exceptions.FailedPrecondition)


def test_a_flipped_bit_anywhere_does_not_open(client: Any, key: str) -> None:
    whole = encrypt(client, key).ciphertext
    for index in range(0, len(whole), 7 if REAL_RING else 1):
        flipped = bytearray(whole)
        flipped[index] ^= 1
        with pytest.raises(exceptions.InvalidArgument):
            decrypt(client, key, bytes(flipped))
    for cut in (b"", whole[:1], whole[:-1], whole + b"x"):
        with pytest.raises(exceptions.InvalidArgument):
            decrypt(client, key, cut)


def test_the_same_plaintext_never_looks_the_same(client: Any, key: str) -> None:
    assert len({encrypt(client, key).ciphertext for _ in range(8)}) == 8


def test_another_keys_ciphertext_does_not_open(client: Any, ring: str, key: str) -> None:
    other = ensured(client, ring, "conformance-other", 1, 1)
    with pytest.raises(exceptions.InvalidArgument):
        decrypt(client, other, encrypt(client, key).ciphertext)


def test_checksums_are_checked_and_answered_with_checksums(client: Any, key: str) -> None:
    sums = {"plaintext_crc32c": google_crc32c.value(b"data key")}
    sealed = encrypt(client, key, **sums, additional_authenticated_data_crc32c=google_crc32c.value(b"context"))
    assert sealed.verified_plaintext_crc32c
    assert sealed.verified_additional_authenticated_data_crc32c
    assert sealed.ciphertext_crc32c == google_crc32c.value(sealed.ciphertext)
    opened = decrypt(client, key, sealed.ciphertext, ciphertext_crc32c=sealed.ciphertext_crc32c)
    assert opened.plaintext_crc32c == google_crc32c.value(b"data key")
    bare = encrypt(client, key)
    assert not bare.verified_plaintext_crc32c
    assert not bare.verified_additional_authenticated_data_crc32c


@pytest.mark.parametrize("name", ["plaintext_crc32c", "additional_authenticated_data_crc32c"])
def test_a_checksum_that_does_not_match_is_refused(client: Any, key: str, name: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=MISMATCH):
        encrypt(client, key, **{name: 1})


def test_a_ciphertext_with_a_wrong_checksum_is_refused(client: Any, key: str) -> None:
    sealed = encrypt(client, key).ciphertext
    with pytest.raises(exceptions.InvalidArgument, match=MISMATCH):
        decrypt(client, key, sealed, ciphertext_crc32c=1)


# --- keys and versions


def test_a_key_describes_itself(client: Any, key: str) -> None:
    found = client.get_crypto_key(name=key)
    assert (found.name, found.purpose.name) == (key, "ENCRYPT_DECRYPT")
    assert found.version_template.protection_level.name == "SOFTWARE"
    assert found.primary.state == State.ENABLED
    assert found.primary.algorithm.name == "GOOGLE_SYMMETRIC_ENCRYPTION"
    assert key in [one.name for one in client.list_crypto_keys(parent=key.partition("/cryptoKeys/")[0])]


def test_rotation_changes_what_encrypts_and_not_what_opens(client: Any, key: str, version: str) -> None:
    old = encrypt(client, key)
    number = version.rpartition("/")[2]
    assert old.name != version  # a new version is not primary by itself
    before = client.get_crypto_key(name=key).primary.name.rpartition("/")[2]
    client.update_crypto_key_primary_version(name=key, crypto_key_version_id=number)
    try:
        assert encrypt(client, key).name == version
        opened = decrypt(client, key, old.ciphertext)
        assert (opened.plaintext, opened.used_primary) == (b"data key", False)
    finally:
        client.update_crypto_key_primary_version(name=key, crypto_key_version_id=before)


def test_versions_are_listed_in_pages(client: Any, key: str, version: str) -> None:
    listed = list(client.list_crypto_key_versions(request={"parent": key, "page_size": 1}))
    assert version in [one.name for one in listed]
    assert len(listed) >= 2


def set_state(client: Any, version: str, state: int) -> None:
    wanted = {"name": version, "state": state}
    client.update_crypto_key_version(crypto_key_version=wanted, update_mask={"paths": ["state"]})


def test_a_disabled_version_opens_nothing_until_it_is_enabled(client: Any, key: str, version: str) -> None:
    sealed = encrypt(client, version).ciphertext
    set_state(client, version, State.DISABLED)
    with pytest.raises(exceptions.FailedPrecondition, match="DISABLED"):
        decrypt(client, key, sealed)
    with pytest.raises(exceptions.FailedPrecondition):
        encrypt(client, version)
    set_state(client, version, State.ENABLED)
    assert decrypt(client, key, sealed).plaintext == b"data key"


def test_a_destruction_can_be_undone_before_its_day(client: Any, key: str, version: str) -> None:
    sealed = encrypt(client, version).ciphertext
    doomed = client.destroy_crypto_key_version(name=version)
    assert doomed.state == State.DESTROY_SCHEDULED
    assert doomed.destroy_time > datetime.now(UTC) + timedelta(hours=23)
    with pytest.raises(exceptions.FailedPrecondition):
        decrypt(client, key, sealed)
    assert client.restore_crypto_key_version(name=version).state == State.DISABLED
    set_state(client, version, State.ENABLED)
    assert decrypt(client, key, sealed).plaintext == b"data key"


@pytest.mark.parametrize("name", ["{ring}/cryptoKeys/nowhere", "{key}/cryptoKeyVersions/999999"])
def test_what_is_not_there_is_not_found(client: Any, ring: str, key: str, name: str) -> None:
    with pytest.raises(exceptions.NotFound):
        encrypt(client, name.format(ring=ring, key=key))


# --- signatures


def test_a_signature_verifies_with_the_public_key_alone(client: Any, signing: str) -> None:
    digest = hashlib.sha256(b"evidence").digest()
    request = {"name": signing, "digest": {"sha256": digest}, "digest_crc32c": google_crc32c.value(digest)}
    answer = client.asymmetric_sign(request=request)
    assert answer.verified_digest_crc32c
    assert answer.signature_crc32c == google_crc32c.value(answer.signature)
    public = client.get_public_key(name=signing)
    assert public.algorithm.name == "EC_SIGN_P256_SHA256"
    assert public.pem_crc32c == google_crc32c.value(public.pem.encode())
    loaded = serialization.load_pem_public_key(public.pem.encode())
    assert isinstance(loaded, ec.EllipticCurvePublicKey)
    loaded.verify(answer.signature, b"evidence", ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        loaded.verify(answer.signature, b"evidence!", ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize("digest", [{"sha256": b"short"}, {}])
def test_what_is_no_sha256_digest_is_not_signed(client: Any, signing: str, digest: Any) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        client.asymmetric_sign(request={"name": signing, "digest": digest})


def test_keys_do_only_what_they_are_for(client: Any, key: str, signing: str) -> None:
    with pytest.raises(exceptions.GoogleAPICallError):
        encrypt(client, signing.partition("/cryptoKeyVersions/")[0])
    with pytest.raises(exceptions.GoogleAPICallError):
        client.get_public_key(name=f"{key}/cryptoKeyVersions/1")


# --- identities, regions, restarts: the lab's own


@LAB_ONLY
def test_who_captures_cannot_open_and_who_restores_cannot_seal(server: KmsServer) -> None:
    """Safety rule: identities. The application and prune can do neither."""
    for key in CONFIG_KEYS:
        sealed = encrypt(server.kms("capture").client, key).ciphertext
        assert decrypt(server.kms("restore").client, key, sealed).plaintext == b"data key"
        for name in ("capture", "app", "prune", "velero"):
            with pytest.raises(exceptions.PermissionDenied, match="useToDecrypt"):
                decrypt(server.kms(name).client, key, sealed)
        for name in ("restore", "app", "prune", "velero"):
            with pytest.raises(exceptions.PermissionDenied, match="useToEncrypt"):
                encrypt(server.kms(name).client, key)
    for name in ("capture", "restore", "app"):
        with pytest.raises(exceptions.PermissionDenied):
            server.kms(name).client.destroy_crypto_key_version(name=f"{CONFIG_KEYS[0]}/cryptoKeyVersions/1")
    for name in ("capture", "prune", "app"):
        with pytest.raises(exceptions.PermissionDenied):
            server.kms(name).client.get_public_key(name=f"{EVIDENCE_KEY}/cryptoKeyVersions/1")


@LAB_ONLY
def test_permissions_can_be_asked_for(server: KmsServer) -> None:
    wanted = ["cloudkms.cryptoKeyVersions.useToEncrypt", "cloudkms.cryptoKeyVersions.useToDecrypt"]
    request = iam_policy_pb2.TestIamPermissionsRequest(resource=CONFIG_KEYS[0], permissions=wanted)
    for name, held in (("capture", wanted[:1]), ("restore", wanted[1:]), ("operator", wanted), ("app", [])):
        assert list(server.kms(name).client.test_iam_permissions(request=request).permissions) == held


@LAB_ONLY
def test_a_region_that_is_down_answers_nothing_and_the_other_everything(server: KmsServer, client: Any) -> None:
    first, second = CONFIG_KEYS
    sealed = [encrypt(client, key).ciphertext for key in CONFIG_KEYS]
    server.turn("us-central1", "down")
    try:
        with pytest.raises(exceptions.ServiceUnavailable):
            decrypt(client, first, sealed[0])
        with pytest.raises(exceptions.ServiceUnavailable):
            client.get_crypto_key(name=first, retry=None)
        assert decrypt(client, second, sealed[1]).plaintext == b"data key"
    finally:
        server.turn("us-central1", "up")
    assert decrypt(client, first, sealed[0]).plaintext == b"data key"


@LAB_ONLY
def test_a_crash_forgets_no_key(server: KmsServer) -> None:
    made = ensured(server.kms("operator").client, CONFIG_KEYS[0].partition("/cryptoKeys/")[0], "kept", 1, 1)
    sealed = {name: encrypt(server.kms("operator").client, name).ciphertext for name in (made, *CONFIG_KEYS)}
    server.stop(signal.SIGKILL)
    server.start()
    client = server.kms("operator").client
    for name, ciphertext in sealed.items():
        assert decrypt(client, name, ciphertext).plaintext == b"data key"
    assert (server.directory / "keys.json").stat().st_mode & 0o777 == 0o600


@LAB_ONLY
def test_a_key_rotates_by_itself_when_it_is_due(server: KmsServer, client: Any, ring: str) -> None:
    key = ensured(client, ring, "turning", 1, 1)
    old = encrypt(client, key)
    due = {"name": key, "rotation_period": timedelta(days=30), "next_rotation_time": datetime.now(UTC)}
    mask = {"paths": ["rotation_period", "next_rotation_time"]}
    client.update_crypto_key(crypto_key=due, update_mask=mask)
    assert encrypt(client, key).name == f"{key}/cryptoKeyVersions/2"
    assert decrypt(client, key, old.ciphertext).plaintext == b"data key"
    assert client.get_crypto_key(name=key).next_rotation_time > datetime.now(UTC) + timedelta(days=29)


@LAB_ONLY
def test_without_an_identity_nothing_is_answered(server: KmsServer) -> None:
    import grpc
    from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceGrpcTransport

    tls = grpc.ssl_channel_credentials(server.lab.ca.certificate.read_bytes())
    forged = grpc.composite_channel_credentials(tls, grpc.access_token_call_credentials("forged"))
    for credentials in (tls, forged):
        channel = grpc.secure_channel(f"127.0.0.1:{server.ports['port']}", credentials)
        stranger = kms_v1.KeyManagementServiceClient(transport=KeyManagementServiceGrpcTransport(channel=channel))
        with pytest.raises(exceptions.Unauthenticated):
            encrypt(stranger, CONFIG_KEYS[0])
