"""Certificates as people bring them: of an authority, or their own; good ones, and each kind of bad one."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def certificate(
    key: Key,
    names: Sequence[str],
    *,
    days: float = 90,
    since_days: float = 1,
    issuer: tuple[x509.Certificate, Key] | None = None,
    authority: bool = False,
) -> x509.Certificate:
    """A certificate that began `since_days` ago and ends in `days`; its own issuer unless one is given."""
    now = dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0] if names else "nobody")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=since_days))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if names and not authority:
        general: list[Any] = [_general(name) for name in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256())


def pem(*parts: x509.Certificate | Key, password: bytes = b"") -> bytes:
    """Certificates and keys, one after the other."""
    encryption: Any = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pkcs8 = serialization.PrivateFormat.PKCS8
    return b"".join(
        part.public_bytes(serialization.Encoding.PEM)
        if isinstance(part, x509.Certificate)
        else part.private_bytes(serialization.Encoding.PEM, pkcs8, encryption)
        for part in parts
    )


def write(path: Path, *parts: x509.Certificate | Key, password: bytes = b"") -> Path:
    path.write_bytes(pem(*parts, password=password))
    path.chmod(0o600)
    return path


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
