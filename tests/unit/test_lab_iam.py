"""Identities of the lab: keys that google-auth accepts, tokens nobody can forge, rules that change while running."""

import datetime as dt
import json
import os
from pathlib import Path

import pytest
from cryptography import x509
from google.auth import crypt, jwt
from google.oauth2 import service_account

from lab import tokens
from lab.iam import Denied, Iam, Unauthenticated
from lab.pki import create_ca

PROJECT = "energent-lab"
TOKEN_URI = "https://127.0.0.1:1/token"
OBJECT_GET = "storage.objects.get"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("iam")
    Iam.create(directory, PROJECT, TOKEN_URI, ["capture", "restore"])
    return directory


@pytest.fixture
def iam(made: Path, tmp_path: Path) -> Iam:
    """A copy for each test, without making RSA keys again."""
    (tmp_path / "keys").mkdir()
    for path in [made / "iam.json", *(made / "keys").iterdir()]:
        (tmp_path / path.relative_to(made)).write_bytes(path.read_bytes())
    return Iam.open(tmp_path)


def credentials(iam: Iam, name: str = "capture") -> service_account.Credentials:
    return service_account.Credentials.from_service_account_file(str(iam.key_file(name)))


def self_signed(iam: Iam, **changes: object) -> str:
    key = json.loads(iam.key_file("capture").read_text())
    now = int(dt.datetime.now(dt.UTC).timestamp())
    claims = {"iss": key["client_email"], "sub": key["client_email"], "aud": "https://storage.googleapis.com/"}
    payload = {**claims, "iat": now, "exp": now + 600, **changes}
    signed: bytes = jwt.encode(crypt.RSASigner.from_service_account_info(key), payload)
    return signed.decode()


def test_files_are_private(iam: Iam, made: Path) -> None:
    for path in (made / "iam.json", made / "keys" / "capture.json"):
        assert path.stat().st_mode & 0o777 == 0o600


def test_key_file_is_one_that_google_auth_reads(iam: Iam) -> None:
    loaded = credentials(iam)
    assert loaded.service_account_email == "capture@energent-lab.iam.gserviceaccount.com"
    assert loaded.project_id == PROJECT


def test_access_token_names_its_owner(iam: Iam) -> None:
    assert iam.identify("Bearer " + iam.token("capture")) == "capture"


def test_self_signed_jwt_of_a_grpc_client_names_its_owner(iam: Iam) -> None:
    scoped = credentials(iam).with_always_use_jwt_access(True)
    scoped._create_self_signed_jwt("https://firestore.googleapis.com/")
    scoped.refresh(None)
    assert iam.identify("Bearer " + scoped.token) == "capture"


def test_unbelievable_callers_are_unauthenticated(iam: Iam) -> None:
    token = iam.token("capture")
    expired = self_signed(iam, iat=1_600_000_000, exp=1_600_000_600)
    stranger = self_signed(iam, iss="who@elsewhere.iam.gserviceaccount.com")
    forged = self_signed(iam, iss=iam.email("restore"))
    assertion = self_signed(iam, aud="https://oauth2.googleapis.com/token")
    headers = [None, "", "Basic x", "Bearer ", "Bearer nonsense", f"Bearer {token}0"]
    headers += [f"Bearer {jwt_}" for jwt_ in (expired, stranger, forged, assertion, iam.token("capture", -1))]
    for header in headers:
        with pytest.raises(Unauthenticated):
            iam.identify(header)


def test_nobody_may_do_anything_at_first(iam: Iam) -> None:
    with pytest.raises(Denied) as refused:
        iam.require("capture", OBJECT_GET, "buckets/b")
    assert (refused.value.permission, refused.value.resource) == (OBJECT_GET, "buckets/b")


@pytest.mark.parametrize(
    ("granted", "on", "asked", "resource", "expected"),
    [
        (OBJECT_GET, "buckets/b", OBJECT_GET, "buckets/b", True),
        (OBJECT_GET, "buckets/b", OBJECT_GET, "buckets/b/objects/o", True),
        (OBJECT_GET, "buckets/b", OBJECT_GET, "buckets/bb", False),
        (OBJECT_GET, "buckets/b", "storage.objects.delete", "buckets/b", False),
        ("storage.objects.*", "buckets/b", "storage.objects.delete", "buckets/b", True),
        ("storage.objects.*", "buckets/b", "storage.buckets.get", "buckets/b", False),
        ("*", "projects/P", "datastore.databases.get", "projects/P/databases/D", True),
        ("*", "projects/P", "datastore.databases.get", "projects/PP/databases/D", False),
        ("*", "*", "anything.at.all", "buckets/b", True),
    ],
)
def test_a_grant_covers_what_is_below_it(
    iam: Iam, granted: str, on: str, asked: str, resource: str, expected: bool
) -> None:
    iam.grant("capture", [granted], on)
    assert iam.allowed("capture", asked, resource) is expected
    assert not iam.allowed("restore", asked, resource)


def test_revoking_takes_one_permission_out_of_a_wildcard(iam: Iam) -> None:
    iam.grant("capture", ["storage.*"], "*")
    iam.revoke("capture", OBJECT_GET, "buckets/b")
    assert not iam.allowed("capture", OBJECT_GET, "buckets/b")
    assert iam.allowed("capture", OBJECT_GET, "buckets/c")
    assert iam.allowed("capture", "storage.objects.list", "buckets/b")
    iam.grant("capture", [OBJECT_GET], "buckets/b")
    assert iam.allowed("capture", OBJECT_GET, "buckets/b")


def test_a_running_service_sees_a_change_of_another_process(iam: Iam) -> None:
    service = Iam.open(iam.directory)
    token = service.token("capture")
    assert not service.allowed("capture", OBJECT_GET, "buckets/b")
    iam.grant("capture", [OBJECT_GET], "buckets/b")
    assert service.allowed("capture", OBJECT_GET, "buckets/b")
    assert service.identify("Bearer " + token) == "capture"
    iam.revoke("capture", OBJECT_GET)
    assert not service.allowed("capture", OBJECT_GET, "buckets/b")


def test_an_unknown_name_is_an_error(iam: Iam) -> None:
    with pytest.raises(KeyError, match="nobody"):
        iam.grant("nobody", ["*"], "*")
    with pytest.raises(Unauthenticated):
        iam.token("nobody")


def test_token_server_exchanges_an_assertion(iam: Iam) -> None:
    assertion = credentials(iam).with_scopes(["x"])._make_authorization_grant_assertion().decode()
    status, answer = tokens.exchange(iam, {"grant_type": tokens.JWT_BEARER, "assertion": assertion}, 600)
    assert (status, answer["expires_in"]) == (200, 600)
    assert iam.identify(f"Bearer {answer['access_token']}") == "capture"


@pytest.mark.parametrize("form", [{}, {"grant_type": "password"}, {"grant_type": tokens.JWT_BEARER, "assertion": "x"}])
def test_token_server_refuses_the_rest(iam: Iam, form: dict[str, str]) -> None:
    status, answer = tokens.exchange(iam, form, 600)
    assert status == 400
    assert answer["error"] in ("invalid_grant", "unsupported_grant_type")


def test_retarget_moves_every_key_file(iam: Iam) -> None:
    iam.retarget("https://127.0.0.1:2/token")
    for name in iam.names:
        assert json.loads(iam.key_file(name).read_text())["token_uri"] == "https://127.0.0.1:2/token"
    assert not [path for path in os.listdir(iam.directory / "keys") if path.startswith(".")]


def test_certificates_are_signed_by_the_ca_for_this_machine(tmp_path: Path) -> None:
    ca = create_ca(tmp_path / "pki")
    certificate, key = ca.issue("storage", ["system:masters"])
    root = x509.load_pem_x509_certificate(ca.certificate.read_bytes())
    leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
    leaf.verify_directly_issued_by(root)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert "127.0.0.1" in map(str, names.get_values_for_type(x509.IPAddress))
    assert key.stat().st_mode & 0o777 == 0o600
    assert create_ca(tmp_path / "pki").certificate.read_bytes() == ca.certificate.read_bytes()
