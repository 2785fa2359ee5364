"""KeyManagementService: what each method does. Each takes the caller's name and the raw request message."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import google_crc32c
import grpc
from google.cloud.kms_v1 import types
from google.iam.v1 import iam_policy_pb2

from lab.grpcproxy import Refused
from lab.iam import Iam
from lab.kms import cipher, shapes
from lab.kms.world import (
    DESTROY_S,
    DESTROY_SCHEDULED,
    DESTROYED,
    DISABLED,
    ENABLED,
    ENCRYPT,
    SIGN,
    KeyRecord,
    Version,
    World,
    location_of,
    not_found,
)

INVALID, PRECONDITION = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
MOST_PAGE = 1000
Method = Callable[[str, Any], Any]


@dataclass(frozen=True, slots=True)
class Service:
    """The methods, over one world."""

    iam: Iam
    world: World

    def _enter(self, caller: str, name: str, permission: str) -> None:
        """UNAVAILABLE while the location is down, PERMISSION_DENIED without the permission on `name` or what it lies in."""
        if location_of(name) in self.world.down:
            raise Refused(grpc.StatusCode.UNAVAILABLE, "The service is currently unavailable.")
        self.iam.require(caller, f"cloudkms.{permission}", name)

    def _key(self, caller: str, name: str, permission: str) -> tuple[KeyRecord, str]:
        """The key that `name` (of a key or of a version of it) means, and the version's number or nothing."""
        self._enter(caller, name, permission)
        key, _, version = name.partition("/cryptoKeyVersions/")
        return self.world.key(key), version

    def _version(self, caller: str, name: str, permission: str) -> tuple[KeyRecord, Version]:
        record, number = self._key(caller, name, permission)
        if not number:
            raise Refused(INVALID, f"{name} names no version.")
        return record, record.version(number)

    # --- rings and keys

    def create_key_ring(self, caller: str, request: Any) -> Any:
        self._enter(caller, request.parent, "keyRings.create")
        name = f"{request.parent}/keyRings/{request.key_ring_id}"
        with self.world.changing():
            if name in self.world.rings:
                raise Refused(grpc.StatusCode.ALREADY_EXISTS, f"KeyRing {name} already exists.")
            self.world.rings[name] = time.time()
        return shapes.ring_message(name, self.world.rings[name])

    def get_key_ring(self, caller: str, request: Any) -> Any:
        self._enter(caller, request.name, "keyRings.get")
        if request.name not in self.world.rings:
            raise not_found(f"KeyRing {request.name}")
        return shapes.ring_message(request.name, self.world.rings[request.name])

    def list_key_rings(self, caller: str, request: Any) -> Any:
        self._enter(caller, request.parent, "keyRings.list")
        found = [(name, at) for name, at in sorted(self.world.rings.items()) if name.startswith(f"{request.parent}/")]
        messages = [shapes.ring_message(name, at) for name, at in found]
        return _page(types.ListKeyRingsResponse.pb()(), "key_rings", messages, request)

    def create_crypto_key(self, caller: str, request: Any) -> Any:
        self._enter(caller, request.parent, "cryptoKeys.create")
        if request.parent not in self.world.rings:
            raise not_found(f"KeyRing {request.parent}")
        wanted = request.crypto_key
        if wanted.purpose not in (ENCRYPT, SIGN):
            raise Refused(INVALID, "The lab makes keys of the purposes ENCRYPT_DECRYPT and ASYMMETRIC_SIGN only.")
        rotation = wanted.rotation_period.ToTimedelta().total_seconds() if wanted.HasField("rotation_period") else None
        if rotation is not None and (wanted.purpose != ENCRYPT or rotation < 86_400):
            raise Refused(INVALID, "rotation_period must be at least 24h, and the key's purpose ENCRYPT_DECRYPT.")
        name = f"{request.parent}/cryptoKeys/{request.crypto_key_id}"
        with self.world.changing():
            record = self.world.make(name, wanted.purpose, wanted.version_template.protection_level or 1, rotation)
        return shapes.key_message(record)

    def get_crypto_key(self, caller: str, request: Any) -> Any:
        return shapes.key_message(self._key(caller, request.name, "cryptoKeys.get")[0])

    def list_crypto_keys(self, caller: str, request: Any) -> Any:
        self._enter(caller, request.parent, "cryptoKeys.list")
        names = sorted(name for name in self.world.keys if name.startswith(f"{request.parent}/"))
        messages = [shapes.key_message(self.world.key(name)) for name in names]
        return _page(types.ListCryptoKeysResponse.pb()(), "crypto_keys", messages, request)

    def update_crypto_key(self, caller: str, request: Any) -> Any:
        record, _ = self._key(caller, request.crypto_key.name, "cryptoKeys.update")
        unknown = set(request.update_mask.paths) - {"rotation_period", "next_rotation_time"}
        if unknown or not request.update_mask.paths:
            raise Refused(INVALID, f"update_mask: {sorted(unknown) or 'nothing'} cannot be updated here.")
        with self.world.changing():
            _set_rotation(record, request.crypto_key, set(request.update_mask.paths))
        return shapes.key_message(record)

    def update_crypto_key_primary_version(self, caller: str, request: Any) -> Any:
        record, _ = self._key(caller, request.name, "cryptoKeys.update")
        version = record.version(request.crypto_key_version_id)
        record.usable(version.id)
        with self.world.changing():
            record.primary = version.id
        return shapes.key_message(record)

    # --- versions

    def create_crypto_key_version(self, caller: str, request: Any) -> Any:
        record, _ = self._key(caller, request.parent, "cryptoKeyVersions.create")
        with self.world.changing():
            return shapes.version_message(record, record.add(time.time()))

    def get_crypto_key_version(self, caller: str, request: Any) -> Any:
        return shapes.version_message(*self._version(caller, request.name, "cryptoKeyVersions.get"))

    def list_crypto_key_versions(self, caller: str, request: Any) -> Any:
        record, _ = self._key(caller, request.parent, "cryptoKeyVersions.list")
        messages = [shapes.version_message(record, version) for version in record.versions.values()]
        return _page(types.ListCryptoKeyVersionsResponse.pb()(), "crypto_key_versions", messages, request)

    def update_crypto_key_version(self, caller: str, request: Any) -> Any:
        wanted = request.crypto_key_version
        record, version = self._version(caller, wanted.name, "cryptoKeyVersions.update")
        if list(request.update_mask.paths) != ["state"] or wanted.state not in (ENABLED, DISABLED):
            raise Refused(INVALID, "Only state can be updated, to ENABLED or DISABLED.")
        return self._moved(record, version, (ENABLED, DISABLED), wanted.state)

    def destroy_crypto_key_version(self, caller: str, request: Any) -> Any:
        record, version = self._version(caller, request.name, "cryptoKeyVersions.destroy")
        return self._moved(record, version, (ENABLED, DISABLED), DESTROY_SCHEDULED)

    def restore_crypto_key_version(self, caller: str, request: Any) -> Any:
        record, version = self._version(caller, request.name, "cryptoKeyVersions.restore")
        return self._moved(record, version, (DESTROY_SCHEDULED,), DISABLED)

    def _moved(self, record: KeyRecord, version: Version, among: tuple[int, ...], to: int) -> Any:
        if version.state not in among:
            word = "DESTROYED" if version.state == DESTROYED else f"in state {version.state}"
            raise Refused(PRECONDITION, f"{record.name}/cryptoKeyVersions/{version.id} is {word}.")
        with self.world.changing():
            version.state = to
            version.destroy = time.time() + DESTROY_S if to == DESTROY_SCHEDULED else None
        return shapes.version_message(record, version)

    # --- use

    def encrypt(self, caller: str, request: Any) -> Any:
        record, number = self._key(caller, request.name, "cryptoKeyVersions.useToEncrypt")
        plain, plain_verified = cipher.checked(request, "plaintext")
        aad, aad_verified = cipher.checked(request, "additional_authenticated_data")
        if number == "" and record.primary is None:
            raise Refused(PRECONDITION, f"{record.name} has no primary version.")
        version = int(number or record.primary or 0)
        ciphertext = cipher.encrypt(record, version, plain, aad)
        response = types.EncryptResponse.pb()(
            name=f"{record.name}/cryptoKeyVersions/{version}",
            ciphertext=ciphertext,
            verified_plaintext_crc32c=plain_verified,
            verified_additional_authenticated_data_crc32c=aad_verified,
            protection_level=record.protection,
        )
        response.ciphertext_crc32c.value = google_crc32c.value(ciphertext)
        return response

    def decrypt(self, caller: str, request: Any) -> Any:
        record, _ = self._key(caller, request.name, "cryptoKeyVersions.useToDecrypt")
        ciphertext, _ = cipher.checked(request, "ciphertext")
        aad, _ = cipher.checked(request, "additional_authenticated_data")
        plain, version = cipher.decrypt(record, ciphertext, aad)
        response = types.DecryptResponse.pb()(
            plaintext=plain, used_primary=version == record.primary, protection_level=record.protection
        )
        response.plaintext_crc32c.value = google_crc32c.value(plain)
        return response

    def asymmetric_sign(self, caller: str, request: Any) -> Any:
        record, version = self._version(caller, request.name, "cryptoKeyVersions.useToSign")
        if request.data or request.digest.WhichOneof("digest") != "sha256":
            raise Refused(INVALID, "The lab signs SHA-256 digests only.")
        digest = bytes(request.digest.sha256)
        verified = request.HasField("digest_crc32c")
        if verified and request.digest_crc32c.value != google_crc32c.value(digest):
            raise Refused(INVALID, "The checksum in field digest_crc32c did not match the data in field digest.")
        signature = cipher.sign(record, version.id, digest)
        response = types.AsymmetricSignResponse.pb()(
            name=request.name,
            signature=signature,
            verified_digest_crc32c=verified,
            protection_level=record.protection,
        )
        response.signature_crc32c.value = google_crc32c.value(signature)
        return response

    def get_public_key(self, caller: str, request: Any) -> Any:
        record, version = self._version(caller, request.name, "cryptoKeyVersions.viewPublicKey")
        pem = cipher.public_pem(record, version.id)
        response = types.PublicKey.pb()(
            name=request.name, pem=pem, algorithm=shapes.algorithm(record), protection_level=record.protection
        )
        response.pem_crc32c.value = google_crc32c.value(pem.encode())
        return response

    def test_iam_permissions(self, caller: str, request: Any) -> Any:
        if location_of(request.resource) in self.world.down:
            raise Refused(grpc.StatusCode.UNAVAILABLE, "The service is currently unavailable.")
        held = [one for one in request.permissions if self.iam.allowed(caller, one, request.resource)]
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=held)

    @property
    def methods(self) -> Mapping[str, Method]:
        """By name, of KeyManagementService."""
        return {
            "CreateKeyRing": self.create_key_ring,
            "GetKeyRing": self.get_key_ring,
            "ListKeyRings": self.list_key_rings,
            "CreateCryptoKey": self.create_crypto_key,
            "GetCryptoKey": self.get_crypto_key,
            "ListCryptoKeys": self.list_crypto_keys,
            "UpdateCryptoKey": self.update_crypto_key,
            "UpdateCryptoKeyPrimaryVersion": self.update_crypto_key_primary_version,
            "CreateCryptoKeyVersion": self.create_crypto_key_version,
            "GetCryptoKeyVersion": self.get_crypto_key_version,
            "ListCryptoKeyVersions": self.list_crypto_key_versions,
            "UpdateCryptoKeyVersion": self.update_crypto_key_version,
            "DestroyCryptoKeyVersion": self.destroy_crypto_key_version,
            "RestoreCryptoKeyVersion": self.restore_crypto_key_version,
            "Encrypt": self.encrypt,
            "Decrypt": self.decrypt,
            "AsymmetricSign": self.asymmetric_sign,
            "GetPublicKey": self.get_public_key,
        }


def _set_rotation(record: KeyRecord, wanted: Any, paths: set[str]) -> None:
    if "rotation_period" in paths:
        has = wanted.HasField("rotation_period")
        record.rotation = wanted.rotation_period.ToTimedelta().total_seconds() if has else None
    if "next_rotation_time" in paths:
        has = wanted.HasField("next_rotation_time")
        record.next_rotation = wanted.next_rotation_time.ToNanoseconds() / 1e9 if has else None
    if record.rotation is None:
        record.next_rotation = None


def _page(response: Any, field: str, messages: Iterable[Any], request: Any) -> Any:
    """One page; its token is where the next begins."""
    found, start = list(messages), int(request.page_token or 0)
    size = min(request.page_size or 100, MOST_PAGE)
    getattr(response, field).extend(found[start : start + size])
    response.total_size = len(found)
    response.next_page_token = str(start + size) if start + size < len(found) else ""
    return response
