"""An authority of our own and one certificate a service, for one machine; a cluster has cert-manager.

Elliptic keys (P-256). The authority's key is never written: new certificates need a new authority, so nothing that
could sign others lies on a disk.
"""

import datetime as dt
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CERTIFICATE, KEY, AUTHORITY = "tls.crt", "tls.key", "ca.crt"  # as services.common.tls has them, without its gRPC


@dataclass(frozen=True)
class Authority:
    """Signs certificates while this object lives."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    days: int

    @classmethod
    def new(cls, *, days: int) -> "Authority":
        """A fresh authority whose certificates hold for ``days``."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Articula")
        builder = _builder(name, name, days).public_key(key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        return cls(key, builder.sign(key, hashes.SHA256()), days)

    def write_identity(self, folder: Path, names: Sequence[str]) -> None:
        """Write tls.crt, tls.key and ca.crt for a service that is called by any of ``names``, or as localhost."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(names[0]), self.certificate.subject, self.days).public_key(key.public_key())
        others = [x509.DNSName(name) for name in (*names, "localhost")]
        loopback = x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))
        uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = builder.add_extension(x509.SubjectAlternativeName([*others, loopback]), critical=False)
        builder = builder.add_extension(uses, critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        folder.mkdir(parents=True, exist_ok=True)
        encoding = serialization.Encoding.PEM
        (folder / CERTIFICATE).write_bytes(certificate.public_bytes(encoding))
        (folder / AUTHORITY).write_bytes(self.certificate.public_bytes(encoding))
        private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / KEY).write_bytes(private)


def write_identities(folder: Path, names: Mapping[str, Sequence[str]], *, days: int) -> None:
    """One sub-folder with an identity for each key of ``names``, all signed by one authority."""
    authority = Authority.new(days=days)
    for service, called in names.items():
        authority.write_identity(folder / service, called)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: x509.Name, issuer: x509.Name, days: int) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))  # clocks of two machines differ a little
        .not_valid_after(now + dt.timedelta(days=days))
    )
