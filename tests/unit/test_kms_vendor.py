"""What comes from Cloud KMS damaged, or of something else, is asked for again and never used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import google_crc32c
import pytest
from google.api_core import exceptions

from dr.errors import CONFIGURATION, DAMAGED, UNAVAILABLE, DrError
from dr.plan.keyfacts import judge_places, location_of
from dr.vendors.google import GoogleAccess
from dr.vendors.kms import CloudKms, CloudSigner, Kms

KEY = "projects/p/locations/us-east1/keyRings/r/cryptoKeys/k"
VERSION = f"{KEY}/cryptoKeyVersions/3"


def checksum(value: bytes) -> int:
    return int(google_crc32c.value(value))


@dataclass
class Service:
    """Answers each method with what `spoil` made of the right answer; counts its calls."""

    spoil: Callable[[SimpleNamespace, int], None] = lambda answer, call: None
    calls: int = 0
    requests: list[Any] = field(default_factory=list)

    def _answer(self, request: Any, **fields: Any) -> SimpleNamespace:
        self.calls += 1
        self.requests.append(request)
        answer = SimpleNamespace(**fields)
        self.spoil(answer, self.calls)
        return answer

    def encrypt(self, request: Any, **_: Any) -> Any:
        verified = {"verified_plaintext_crc32c": True, "verified_additional_authenticated_data_crc32c": True}
        sums = {"ciphertext": b"wrapped", "ciphertext_crc32c": checksum(b"wrapped")}
        return self._answer(request, name=VERSION, **sums, **verified)

    def decrypt(self, request: Any, **_: Any) -> Any:
        return self._answer(request, plaintext=b"key", plaintext_crc32c=checksum(b"key"))

    def asymmetric_sign(self, request: Any, **_: Any) -> Any:
        sums = {"signature": b"signed", "signature_crc32c": checksum(b"signed")}
        return self._answer(request, name=VERSION, verified_digest_crc32c=True, **sums)

    def get_public_key(self, name: str, **_: Any) -> Any:
        algorithm = SimpleNamespace(name="EC_SIGN_P256_SHA256")
        return self._answer(name, name=VERSION, pem="PEM", pem_crc32c=checksum(b"PEM"), algorithm=algorithm)


def kms(service: Service) -> Kms:
    made = Kms(GoogleAccess())
    made.__dict__["client"] = service  # what the cached property would hold
    return made


def spoiled(**fields: Any) -> Callable[[SimpleNamespace, int], None]:
    """The first answer only."""
    return lambda answer, call: answer.__dict__.update(fields) if call == 1 else None


def always(**fields: Any) -> Callable[[SimpleNamespace, int], None]:
    return lambda answer, call: answer.__dict__.update(fields)


WRAP = [
    {"ciphertext": b"wrappee"},
    {"ciphertext_crc32c": None},
    {"verified_plaintext_crc32c": False},
    {"verified_additional_authenticated_data_crc32c": False},
    {"name": "projects/p/locations/us-east1/keyRings/r/cryptoKeys/kk/cryptoKeyVersions/3"},
]
SIGN = [{"signature": b"signee"}, {"verified_digest_crc32c": False}, {"name": f"{KEY}/cryptoKeyVersions/4"}]
OPERATIONS: list[tuple[str, Callable[[Kms], object], object, list[dict[str, Any]]]] = [
    ("wrap", lambda kms: CloudKms(kms, KEY).wrap(b"key", b"c"), b"wrapped", WRAP),
    ("unwrap", lambda kms: CloudKms(kms, KEY).unwrap(b"wrapped", b"c"), b"key", [{"plaintext": b"kex"}]),
    ("sign", lambda kms: CloudSigner(kms, VERSION).sign(b"data"), b"signed", SIGN),
    ("public key", lambda kms: CloudSigner(kms, VERSION).public_key(), "PEM", [{"pem": "PEN"}, {"name": KEY}]),
]
CASES = [(name, call, right, fields) for name, call, right, spoils in OPERATIONS for fields in spoils]


@pytest.mark.parametrize(("name", "call", "right", "fields"), CASES)
def test_an_answer_damaged_once_is_asked_for_again(
    name: str, call: Callable[[Kms], object], right: object, fields: dict[str, Any]
) -> None:
    service = Service(spoiled(**fields))
    assert call(kms(service)) == right
    assert service.calls == 2


@pytest.mark.parametrize(("name", "call", "right", "fields"), CASES)
def test_an_answer_that_stays_damaged_is_never_used(
    name: str, call: Callable[[Kms], object], right: object, fields: dict[str, Any]
) -> None:
    service = Service(always(**fields))
    with pytest.raises(DrError) as caught:
        call(kms(service))
    assert caught.value.kind is UNAVAILABLE
    assert service.calls == 3


def test_requests_carry_their_checksums() -> None:
    service = Service()
    CloudKms(kms(service), KEY).wrap(b"key", b"context")
    CloudKms(kms(service), KEY).unwrap(b"wrapped", b"context")
    CloudSigner(kms(service), VERSION).sign(b"data")
    first, second, third = service.requests
    assert first["plaintext_crc32c"] == checksum(b"key")
    assert first["additional_authenticated_data_crc32c"] == checksum(b"context")
    assert second["ciphertext_crc32c"] == checksum(b"wrapped")
    assert second["additional_authenticated_data_crc32c"] == checksum(b"context")
    assert third["digest_crc32c"] == checksum(third["digest"]["sha256"])


def raising(error: Exception) -> Callable[[SimpleNamespace, int], None]:
    def spoil(_answer: SimpleNamespace, _call: int) -> None:
        raise error

    return spoil


def test_a_request_damaged_on_its_way_is_no_damaged_key() -> None:
    """The service says INVALID_ARGUMENT for both: only the sentence tells them apart."""
    text = "The checksum in field ciphertext_crc32c did not match the data in field ciphertext."
    for message, kind in ((text, UNAVAILABLE), ("Decryption failed: the ciphertext is invalid.", DAMAGED)):
        service = Service(raising(exceptions.InvalidArgument(message)))
        with pytest.raises(DrError) as caught:
            CloudKms(kms(service), KEY).unwrap(b"wrapped", b"c")
        assert caught.value.kind is kind
        assert service.calls == (3 if kind is UNAVAILABLE else 1)


def test_a_key_of_another_algorithm_is_not_taken_for_evidence() -> None:
    service = Service(always(algorithm=SimpleNamespace(name="RSA_SIGN_PSS_2048_SHA256")))
    with pytest.raises(DrError) as caught:
        CloudSigner(kms(service), VERSION).public_key()
    assert caught.value.kind is CONFIGURATION


@pytest.mark.parametrize(
    ("names", "passed"),
    [
        ((KEY, KEY.replace("us-east1", "us-central1")), True),
        ((f"gcp-kms://{KEY}", "gcp-kms://projects/p/locations/US-EAST1/keyRings/r2/cryptoKeys/k"), False),
        ((KEY,), False),
        ((KEY, "file:///key"), True),
    ],
)
def test_two_keys_must_not_be_lost_together(names: tuple[str, ...], passed: bool) -> None:
    assert judge_places(names).passed is passed


def test_where_a_key_lies() -> None:
    assert location_of(f"gcp-kms://{KEY}") == "us-east1"
    assert location_of("file:///etc/dr/key") == ""
