"""Cloud KMS by its official client: wrap and unwrap data keys, sign digests, describe keys.

Every byte string travels with its CRC32C both ways; an answer that does not match is asked for again and never used. All
calls here are safe to repeat.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import google_crc32c

from dr.errors import CONFIGURATION, DAMAGED, NOT_FOUND, REJECTED, UNAVAILABLE, DrError
from dr.plan.keyfacts import KeyFacts
from dr.vendors.google import translate
from dr.vendors.loading import preload
from dr.vendors.retry import with_retry

if TYPE_CHECKING:
    from dr.vendors.google import GoogleAccess

T = TypeVar("T")
KMS = "google.cloud.kms_v1"
HOST = "cloudkms.googleapis.com"
SCHEME = "gcp-kms://"
SIGNING_ALGORITHM = "EC_SIGN_P256_SHA256"
_ONCE: dict[str, Any] = {"retry": None, "timeout": 5.0}
_ATTEMPTS, _DEADLINE_S = 3, 10.0
"""A region that is down is given up soon: another key opens the same value."""


@dataclass(frozen=True)
class Kms:
    """One identity's way to Cloud KMS; shared by all keys. Errors: DrError of the catalogue, naming the key."""

    access: GoogleAccess

    @cached_property
    def client(self) -> Any:
        preload(KMS)
        from google.cloud.kms_v1 import KeyManagementServiceClient
        from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceGrpcTransport

        channel = self.access.channel(self.access.kms_endpoint, HOST)
        return KeyManagementServiceClient(transport=KeyManagementServiceGrpcTransport(channel=channel))

    def ask(self, what: str, call: Callable[[Any], T], judge: Callable[[Exception], DrError | None]) -> T:
        """One call, temporary failures repeated. `judge` may know better than the catalogue what an error means."""

        def once() -> T:
            try:
                return call(self.client)
            except DrError:
                raise
            except Exception as error:
                raise judge(error) or _unusable(error, what) or translate(error, what) from error

        return with_retry(once, what=what, attempts=_ATTEMPTS, deadline_s=_DEADLINE_S)

    def describe(self, key: str) -> KeyFacts:
        """What `projects/.../cryptoKeys/K` is. Raises DrError NOT_FOUND, NOT_AUTHORISED, UNREACHABLE."""
        found = self.ask(f"read key {key}", lambda client: client.get_crypto_key(name=key, **_ONCE), _no_opinion)
        template, primary = found.version_template, found.primary
        return KeyFacts(
            name=found.name,
            purpose=found.purpose.name,
            protection=template.protection_level.name,
            rotation=found.rotation_period or None,
            primary=primary.name.rpartition("/")[2] if primary else "",
            primary_state=primary.state.name if primary else "",
        )

    def held(self, key: str, permissions: Sequence[str]) -> frozenset[str]:
        """Which of these permissions this identity has on the key."""
        preload("google.iam.v1.iam_policy_pb2")
        from google.iam.v1 import iam_policy_pb2

        request = iam_policy_pb2.TestIamPermissionsRequest(resource=key, permissions=list(permissions))
        answer = self.ask(
            f"read the permissions on key {key}",
            lambda client: client.test_iam_permissions(request=request, **_ONCE),
            _no_opinion,
        )
        return frozenset(answer.permissions)


@dataclass(frozen=True)
class CloudKms:
    """A `KeyWrapper` on one symmetric key, `projects/P/locations/L/keyRings/R/cryptoKeys/K`. New data keys go under its
    primary version, old ones open as long as their own version is enabled."""

    kms: Kms
    key: str

    @property
    def name(self) -> str:
        return SCHEME + self.key

    def wrap(self, key: bytes, context: bytes) -> bytes:
        request = {"name": self.key, **_summed("plaintext", key), **_summed(_AAD, context)}

        def call(client: Any) -> bytes:
            answer = client.encrypt(request=request, **_ONCE)
            received = answer.verified_plaintext_crc32c and answer.verified_additional_authenticated_data_crc32c
            ours = answer.name.startswith(f"{self.key}/cryptoKeyVersions/")
            return _intact(answer.ciphertext, answer.ciphertext_crc32c, received and ours, self.key)

        return self.kms.ask(f"encrypt with key {self.key}", call, _in_transit)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        request = {"name": self.key, **_summed("ciphertext", wrapped), **_summed(_AAD, context)}

        def call(client: Any) -> bytes:
            answer = client.decrypt(request=request, **_ONCE)
            return _intact(answer.plaintext, answer.plaintext_crc32c, True, self.key)

        def judge(error: Exception) -> DrError | None:
            return _in_transit(error) or _not_ours(error, self.key)

        return self.kms.ask(f"decrypt with key {self.key}", call, judge)


@dataclass(frozen=True)
class CloudSigner:
    """Signs with one version of an EC P-256 key, `projects/.../cryptoKeys/K/cryptoKeyVersions/N`."""

    kms: Kms
    version: str

    @property
    def name(self) -> str:
        return SCHEME + self.version

    def public_key(self) -> str:
        """PEM; what verifies the signatures without any cloud. Raises DrError CONFIGURATION for another algorithm."""

        def call(client: Any) -> str:
            answer = client.get_public_key(name=self.version, **_ONCE)
            if answer.algorithm.name != SIGNING_ALGORITHM:
                text = f"key {self.version} signs with {answer.algorithm.name}; {SIGNING_ALGORITHM} is wanted"
                raise DrError(CONFIGURATION, text)
            ours = answer.name == self.version
            return _intact(answer.pem.encode(), answer.pem_crc32c, ours, self.version).decode()

        return self.kms.ask(f"read the public key of {self.version}", call, _no_opinion)

    def sign(self, data: bytes) -> bytes:
        """A DER-encoded ECDSA signature over the SHA-256 of `data`."""
        digest = hashlib.sha256(data).digest()
        summed = {"digest": {"sha256": digest}, "digest_crc32c": google_crc32c.value(digest)}

        def call(client: Any) -> bytes:
            answer = client.asymmetric_sign(request={"name": self.version, **summed}, **_ONCE)
            received = answer.verified_digest_crc32c and answer.name == self.version
            return _intact(answer.signature, answer.signature_crc32c, received, self.version)

        return self.kms.ask(f"sign with key {self.version}", call, _in_transit)


_AAD = "additional_authenticated_data"


def _summed(name: str, value: bytes) -> dict[str, object]:
    return {name: value, f"{name}_crc32c": google_crc32c.value(value)}


def _intact(value: bytes, crc32c: int | None, received: bool, key: str) -> bytes:
    """The bytes, if they and the request arrived whole. Raises DrError UNAVAILABLE: what is asked for again may."""
    if not received or crc32c is None or google_crc32c.value(value) != crc32c:
        raise DrError(UNAVAILABLE, f"an answer of key {key} was damaged on its way")
    return value


def _no_opinion(_error: Exception) -> DrError | None:
    return None


def _in_transit(error: Exception) -> DrError | None:
    """The service saw another checksum than ours."""
    if "checksum" in str(error).lower() and "did not match" in str(error):
        return DrError(UNAVAILABLE, "a request to Cloud KMS was damaged on its way")
    return None


def _not_ours(error: Exception, key: str) -> DrError | None:
    """INVALID_ARGUMENT of Decrypt: not this key's, another context, or damaged; the service does not tell them apart."""
    preload("google.api_core.exceptions")
    from google.api_core import exceptions

    if isinstance(error, exceptions.FailedPrecondition) or not isinstance(error, exceptions.InvalidArgument):
        return None
    return DrError(DAMAGED, f"key {key} did not wrap this data key for this purpose, or it is damaged")


def _unusable(error: Exception, what: str) -> DrError | None:
    """A version that is disabled or destroyed, a key of another purpose, a key that is not there."""
    preload("google.api_core.exceptions")
    from google.api_core import exceptions

    if isinstance(error, exceptions.FailedPrecondition):
        hint = "enable the key's version again (a scheduled destruction can be undone until its day)"
        return DrError(REJECTED, f"cannot {what}: {error.message}", hint=hint)
    if isinstance(error, exceptions.NotFound):
        return DrError(NOT_FOUND, f"cannot {what}: {error.message}", hint="compare keys.primary and keys.secondary")
    return None
