"""Makes a certificate that vouches for itself. Runs in a clean process, in the person's own Python."""

from __future__ import annotations

import datetime as dt
import ipaddress
from typing import Any

from autodeploy_magic.registry import need

__all__ = ["DAYS", "make"]

DAYS = 397
"""The longest that browsers and Apple's systems take (CA/Browser Forum, Ballot SC31)."""
_CLOCKS = dt.timedelta(hours=1)
"""The certificate begins this long ago, for clients whose clocks are behind."""


def make(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a certificate for `spec["names"]` (host names, IP addresses) and its key (ECDSA P-256), both as PEM.

    It is no authority: a client that trusts it trusts this one server, and nothing that the key could sign.
    Raises `MissingPackage` where cryptography is not installed.
    """
    need("cryptography", "a certificate that is made here (--tls)")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(spec["title"])[:64])])
    start = dt.datetime.now(dt.UTC) - _CLOCKS
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in spec["names"]]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    made = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return {"certificate": made.decode("ascii"), "key": private.decode("ascii")}


def _general(name: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
