"""The product's way to Cloud KMS against the lab's: wrapping, sealing across two regions, signing, and what `dr check` says."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dr.app.keys import check_keys, open_keys
from dr.changelog.seal import KeyTrouble, Sealer
from dr.errors import (
    CONFIGURATION,
    DAMAGED,
    NOT_AUTHORISED,
    NOT_FOUND,
    REJECTED,
    UNAVAILABLE,
    DrError,
    ErrorKind,
)
from dr.settings import KeySettings
from dr.vendors.kms import CloudKms, CloudSigner
from lab.kms.names import CONFIG_KEYS, EVIDENCE_KEY, key_name
from tests.contract.kms_server import KmsServer, start_lab
from tests.contract.storage_server import stop

pytestmark = pytest.mark.timeout(120)
KEYS = KeySettings(*(f"gcp-kms://{key}" for key in CONFIG_KEYS))
CONTEXT = b"what it is for"
DATA_KEY = bytes(range(32))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KmsServer]:
    lab = start_lab(tmp_path_factory.mktemp("lab"))
    started = KmsServer(lab, tmp_path_factory.mktemp("kms")).start()
    yield started
    started.stop()
    stop(lab.tokens)


@contextlib.contextmanager
def down(server: KmsServer, *locations: str) -> Iterator[None]:
    for location in locations:
        server.turn(location, "down")
    yield
    for location in locations:
        server.turn(location, "up")


def key(server: KmsServer, name: str, which: str = CONFIG_KEYS[0]) -> CloudKms:
    return CloudKms(server.kms(name), which)


def fails(kind: ErrorKind, call: Callable[[], object]) -> DrError:
    with pytest.raises(DrError) as caught:
        call()
    assert caught.value.kind is kind, caught.value
    return caught.value


# --- wrapping


def test_capture_wraps_and_restore_unwraps(server: KmsServer) -> None:
    wrapped = key(server, "capture").wrap(DATA_KEY, CONTEXT)
    assert DATA_KEY not in wrapped
    assert key(server, "restore").unwrap(wrapped, CONTEXT) == DATA_KEY
    assert key(server, "restore").name == f"gcp-kms://{CONFIG_KEYS[0]}"


def test_what_does_not_fit_is_damaged(server: KmsServer) -> None:
    """I7: another context, another key, a flipped bit, nothing at all."""
    wrapped = key(server, "capture").wrap(DATA_KEY, CONTEXT)
    restore = key(server, "restore")
    fails(DAMAGED, lambda: restore.unwrap(wrapped, b"another"))
    fails(DAMAGED, lambda: restore.unwrap(wrapped[:-1] + bytes([wrapped[-1] ^ 1]), CONTEXT))
    fails(DAMAGED, lambda: restore.unwrap(b"", CONTEXT))
    fails(DAMAGED, lambda: key(server, "restore", CONFIG_KEYS[1]).unwrap(wrapped, CONTEXT))


def test_what_is_not_allowed_or_not_there_is_said(server: KmsServer) -> None:
    wrapped = key(server, "capture").wrap(DATA_KEY, CONTEXT)
    denied = fails(NOT_AUTHORISED, lambda: key(server, "capture").unwrap(wrapped, CONTEXT))
    assert "useToDecrypt" in denied.message
    fails(NOT_AUTHORISED, lambda: key(server, "app").wrap(DATA_KEY, CONTEXT))
    nowhere = key_name("us-central1", "nowhere")
    missing = fails(NOT_FOUND, lambda: key(server, "operator", nowhere).wrap(DATA_KEY, CONTEXT))
    assert nowhere in missing.message


def test_a_version_that_is_disabled_is_named_and_comes_back(server: KmsServer) -> None:
    operator, version = server.kms("operator").client, f"{CONFIG_KEYS[0]}/cryptoKeyVersions/1"
    wrapped = key(server, "capture").wrap(DATA_KEY, CONTEXT)
    mask = {"paths": ["state"]}
    operator.update_crypto_key_version(crypto_key_version={"name": version, "state": 2}, update_mask=mask)
    refused = fails(REJECTED, lambda: key(server, "restore").unwrap(wrapped, CONTEXT))
    assert version in refused.message
    assert "enable" in refused.hint
    operator.update_crypto_key_version(crypto_key_version={"name": version, "state": 1}, update_mask=mask)
    assert key(server, "restore").unwrap(wrapped, CONTEXT) == DATA_KEY


def test_what_was_sealed_before_a_rotation_still_opens(server: KmsServer) -> None:
    operator = server.kms("operator").client
    wrapped = key(server, "capture").wrap(DATA_KEY, CONTEXT)
    made = operator.create_crypto_key_version(parent=CONFIG_KEYS[0], crypto_key_version={}).name.rpartition("/")[2]
    operator.update_crypto_key_primary_version(name=CONFIG_KEYS[0], crypto_key_version_id=made)
    assert key(server, "capture").wrap(DATA_KEY, CONTEXT) != wrapped
    assert key(server, "restore").unwrap(wrapped, CONTEXT) == DATA_KEY


# --- sealing under both regions


@pytest.mark.parametrize("lost", ["us-central1", "us-east1"])
def test_the_loss_of_either_region_loses_no_value(server: KmsServer, lost: str) -> None:
    sealed = json.loads(json.dumps(Sealer(open_keys(KEYS, server.access("capture"))).seal(b"password", b"Secret/a/b")))
    assert [entry["name"] for entry in sealed["keys"]] == [KEYS.primary, KEYS.secondary]
    told: list[KeyTrouble] = []
    with down(server, lost):
        assert Sealer(open_keys(KEYS, server.access("restore")), told.append).open(sealed, b"Secret/a/b") == b"password"
    expected = [(KEYS.primary, "unwrap", UNAVAILABLE)] if lost == "us-central1" else []
    assert [(trouble.key, trouble.doing, trouble.error.kind) for trouble in told] == expected


def test_sealing_goes_on_without_a_region_and_that_is_told(server: KmsServer) -> None:
    told: list[KeyTrouble] = []
    with down(server, "us-east1"):
        sealed: Any = Sealer(open_keys(KEYS, server.access("capture")), told.append).seal(b"x", b"c")
    assert [entry["name"] for entry in sealed["keys"]] == [KEYS.primary]
    assert [trouble.key for trouble in told] == [KEYS.secondary]
    with down(server, "us-east1", "us-central1"):
        fails(UNAVAILABLE, lambda: Sealer(open_keys(KEYS, server.access("capture"))).seal(b"x", b"c"))


def test_capture_cannot_open_what_it_sealed(server: KmsServer) -> None:
    access = server.access("capture")
    sealed = Sealer(open_keys(KEYS, access)).seal(b"password", b"c")
    fails(NOT_AUTHORISED, lambda: Sealer(open_keys(KEYS, access)).open(sealed, b"c"))


# --- signing


def test_a_signature_verifies_without_any_cloud(server: KmsServer) -> None:
    signer = CloudSigner(server.kms("operator"), f"{EVIDENCE_KEY}/cryptoKeyVersions/1")
    public = serialization.load_pem_public_key(signer.public_key().encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signer.sign(b"evidence" * 100_000), b"evidence" * 100_000, ec.ECDSA(hashes.SHA256()))
    fails(NOT_AUTHORISED, lambda: CloudSigner(server.kms("app"), signer.version).sign(b"x"))
    fails(NOT_FOUND, lambda: CloudSigner(server.kms("operator"), f"{EVIDENCE_KEY}/cryptoKeyVersions/9").sign(b"x"))


def test_a_key_that_does_not_sign_is_refused(server: KmsServer) -> None:
    signer = CloudSigner(server.kms("operator"), f"{CONFIG_KEYS[0]}/cryptoKeyVersions/1")
    fails(REJECTED, signer.public_key)
    fails(REJECTED, lambda: signer.sign(b"x"))


# --- what `dr check` says


def failed(server: KmsServer, identity: str, keys: KeySettings = KEYS) -> list[str]:
    return [check.name for check in check_keys(keys, server.access(identity), identity) if not check.passed]


@pytest.mark.parametrize("identity", ["capture", "restore"])
def test_all_is_well_with_the_labs_own_keys(server: KmsServer, identity: str) -> None:
    checks = check_keys(KEYS, server.access(identity), identity)
    assert [check for check in checks if not check.passed] == []
    names = " ".join(check.name for check in checks)
    for word in (*CONFIG_KEYS, "rotation", "usable", "cloudkms.", "different regions"):
        assert word in names


@pytest.mark.parametrize(
    ("identity", "permission"),
    [
        ("capture", "cloudkms.cryptoKeys.get"),
        ("capture", "cloudkms.cryptoKeyVersions.useToEncrypt"),
        ("restore", "cloudkms.cryptoKeys.get"),
        ("restore", "cloudkms.cryptoKeyVersions.useToDecrypt"),
    ],
)
def test_a_missing_permission_is_named_with_its_key(server: KmsServer, identity: str, permission: str) -> None:
    server.lab.iam.revoke(identity, permission, CONFIG_KEYS[1])
    try:
        assert failed(server, identity) == [f"key {CONFIG_KEYS[1]} {permission}"]
    finally:
        server.lab.iam.grant(identity, [permission], CONFIG_KEYS[1])


def test_a_permission_too_many_is_named(server: KmsServer) -> None:
    server.lab.iam.grant("capture", ["cloudkms.cryptoKeyVersions.useToDecrypt"], CONFIG_KEYS[0])
    try:
        (name,) = failed(server, "capture")
        assert "useToDecrypt" in name
    finally:
        server.lab.iam.revoke("capture", "cloudkms.cryptoKeyVersions.useToDecrypt", CONFIG_KEYS[0])


def test_a_region_that_is_down_is_a_failed_check_and_no_exception(server: KmsServer) -> None:
    with down(server, "us-east1"):
        assert failed(server, "capture") == [f"key {CONFIG_KEYS[1]}"]


def test_a_key_that_never_rotates_and_one_without_a_usable_version_are_named(server: KmsServer) -> None:
    operator, name = server.kms("operator").client, key_name("us-east1", "plain")
    server.lab.iam.grant("capture", ["cloudkms.*"], name)
    server.lab.iam.revoke("capture", "cloudkms.cryptoKeyVersions.useToDecrypt", name)
    ring = name.partition("/cryptoKeys/")[0]
    operator.create_crypto_key(parent=ring, crypto_key_id="plain", crypto_key={"purpose": 1})
    keys = KeySettings(KEYS.primary, f"gcp-kms://{name}")
    assert failed(server, "capture", keys) == [f"key {name} rotation"]
    operator.destroy_crypto_key_version(name=f"{name}/cryptoKeyVersions/1")
    # what is described, and what a real encryption says
    assert failed(server, "capture", keys) == [f"key {name} usable", f"key {name} rotation", f"key {name}"]


def test_keys_in_one_place_are_named(server: KmsServer) -> None:
    twice = KeySettings(KEYS.primary, KEYS.primary)
    assert failed(server, "capture", twice) == ["keys in different regions"]
    assert failed(server, "capture", KeySettings(KEYS.primary)) == ["keys in different regions"]


def test_a_key_that_is_not_there_is_named(server: KmsServer) -> None:
    nowhere = key_name("us-east1", "nowhere")
    keys = KeySettings(KEYS.primary, f"gcp-kms://{nowhere}")
    assert any(nowhere in name for name in failed(server, "capture", keys))


def test_no_keys_no_checks_and_prune_needs_none(server: KmsServer) -> None:
    assert check_keys(KeySettings(), server.access("capture"), "capture") == ()
    assert check_keys(KEYS, server.access("prune"), "prune") == ()


def test_a_local_key_is_looked_at_too(server: KmsServer, tmp_path: Any) -> None:
    from dr.changelog.localkey import make_key

    make_key(tmp_path / "key")
    keys = KeySettings(f"file://{tmp_path / 'key'}")
    assert failed(server, "capture", keys) == []
    (tmp_path / "key").chmod(0o644)
    (check,) = check_keys(keys, server.access("capture"), "capture")
    assert "chmod" not in check.detail
    assert not check.passed
    (made,) = open_keys(keys, server.access("capture"))
    fails(CONFIGURATION, lambda: made.wrap(b"k" * 32, b"c"))
