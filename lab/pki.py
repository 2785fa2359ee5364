"""The lab's certificate authority: one root that every client of the lab trusts explicitly."""

import datetime as dt
import os
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALIDITY = dt.timedelta(days=30)
BACKDATE = dt.timedelta(days=1)  # services with a shifted clock must accept the certificates too


@dataclass(frozen=True, slots=True)
class Ca:
    """A directory with `ca.pem` and `ca.key`; issues leaf certificates beside them."""

    directory: Path

    @property
    def certificate(self) -> Path:
        """The root certificate (PEM)."""
        return self.directory / "ca.pem"

    @property
    def key(self) -> Path:
        """The root's private key (PEM, mode 0600)."""
        return self.directory / "ca.key"

    def issue(self, name: str, organizations: Sequence[str] = ()) -> tuple[Path, Path]:
        """A certificate for localhost, 127.0.0.1 and ::1 with CN `name`, for both ends; (certificate, key) paths."""
        certificate, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        private = ec.generate_private_key(ec.SECP256R1())
        issuer = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        builder = _builder(_subject(name, organizations), issuer.subject, private)
        for extension in _leaf_extensions():
            builder = builder.add_extension(extension, critical=False)
        signed = builder.sign(_load_key(self.key), hashes.SHA256())
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        _write_key(key, private)
        return certificate, key


def create_ca(directory: Path) -> Ca:
    """Make a new root in `directory`, or open the one that is there."""
    ca = Ca(directory)
    if ca.certificate.exists() and ca.key.exists():
        return ca
    directory.mkdir(parents=True, exist_ok=True)
    private = ec.generate_private_key(ec.SECP256R1())
    subject = _subject("dr lab CA", ())
    builder = _builder(subject, subject, private)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_ca_usage(), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
    _write_key(ca.key, private)
    ca.certificate.write_bytes(builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return ca


def _builder(subject: x509.Name, issuer: x509.Name, private: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + VALIDITY)
    )


def _subject(name: str, organizations: Sequence[str]) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization) for organization in organizations]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _leaf_extensions() -> tuple[x509.ExtensionType, ...]:
    addresses = [x509.IPAddress(ip_address(text)) for text in ("127.0.0.1", "::1")]
    return (
        x509.SubjectAlternativeName([x509.DNSName("localhost"), *addresses]),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
        x509.BasicConstraints(ca=False, path_length=None),
    )


def _ca_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path} holds no elliptic-curve key")
    return key


def _write_key(path: Path, private: ec.EllipticCurvePrivateKey) -> None:
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
