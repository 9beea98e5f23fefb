"""A version's signature, verified before anything of the version is loaded.

`version.sig` is a Sigstore bundle as sigstore's model-signing writes it (`build/sign.py`): a DSSE envelope around an
in-toto statement that lists the hash of every file. Here the envelope is verified with the public key of `verify_key`,
and the hash of version.json compared, which in turn has the hash of every other file that `ServedModel.load` opens.

Read here and not by model-signing itself: importing that takes 0.4 s, cryptography alone 0.03 s, and a worker is ready
in less. `tests/build/test_sign.py` holds the two to the same verdicts.
Source: DSSE v1.0 (secure-systems-lab/dsse), in-toto Statement v1, OpenSSF model signing v1.0.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.errors import StartFailed
from autodeploy_magic.registry import need

__all__ = ["SIGNATURE", "check_signature", "fingerprint"]

SIGNATURE = "version.sig"
"""The file beside version.json."""

_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE = "https://model_signing/signature/v1.0"


def check_signature(folder: Path, record: bytes) -> None:
    """Raise `StartFailed` where a `verify_key` is set, and it did not sign `record`, the bytes of version.json."""
    file = str(settings.get("verify_key"))
    if not file:
        return
    key = _public_key(Path(file))
    try:
        bundle = msgspec.json.decode((folder / SIGNATURE).read_bytes())
    except FileNotFoundError:
        raise _refused("it is not signed", f"{folder} has no {SIGNATURE}") from None
    except (OSError, msgspec.DecodeError) as error:
        raise _refused("its signature cannot be read", str(error)) from error
    statement = _statement(bundle, key, Path(file))
    digests = _digests(statement)
    if digests.get("version.json") != hashlib.sha256(record).hexdigest():
        raise _refused("its record is not the one that was signed", "version.json was changed after it was signed")


def fingerprint(public_key: Any) -> str:
    """The SHA-256 of a public key in PEM, which Sigstore bundles name it by."""
    serialization = need("cryptography.hazmat.primitives.serialization", "a signature")
    pem = public_key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    return hashlib.sha256(pem).hexdigest()


def _public_key(file: Path) -> Any:
    serialization = need("cryptography.hazmat.primitives.serialization", "verifying a signature (verify_key)")
    ec = need("cryptography.hazmat.primitives.asymmetric.ec", "verifying a signature (verify_key)")
    try:
        key = serialization.load_pem_public_key(file.read_bytes())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it holds no public key in PEM"
        raise StartFailed(
            f"the key that versions are verified with cannot be read: {file}",
            why=str(why),
            fix="set verify_key to the public key: openssl ec -in signing.key -pubout -out signing.pub",
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise StartFailed(
            f"{file} is no elliptic-curve key", why="versions are signed with ECDSA", fix="make one on P-256"
        )
    return key


def _statement(bundle: Any, key: Any, file: Path) -> dict[str, Any]:
    """The signed statement. Raises `StartFailed` where another key signed it, or where it was changed."""
    ec = need("cryptography.hazmat.primitives.asymmetric.ec", "verifying a signature (verify_key)")
    hashes = need("cryptography.hazmat.primitives.hashes", "verifying a signature (verify_key)")
    exceptions = need("cryptography.exceptions", "verifying a signature (verify_key)")
    try:
        envelope = bundle["dsseEnvelope"]
        kind = str(envelope["payloadType"])
        payload = base64.b64decode(envelope["payload"], validate=True)
        signature = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
        hint = str(bundle["verificationMaterial"]["publicKey"]["hint"])
    except (KeyError, IndexError, TypeError, ValueError, binascii.Error) as error:
        raise _refused("its signature cannot be read", f"{type(error).__name__}: {error}") from error
    if kind != _PAYLOAD_TYPE:
        raise _refused("its signature is for something else", f"it signs {kind!r}")
    ours = fingerprint(key)
    signed = b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD_TYPE), _PAYLOAD_TYPE.encode(), len(payload), payload)
    algorithm = {256: hashes.SHA256, 384: hashes.SHA384, 521: hashes.SHA512}[key.curve.key_size]
    try:
        key.verify(signature, signed, ec.ECDSA(algorithm()))
    except exceptions.InvalidSignature as error:
        why = (
            f"{file} is the key {ours[:12]}…, and the signature names {hint[:12]}…"
            if hint != ours
            else "what was signed was changed afterwards"
        )
        raise _refused("it was not signed with the key that is asked for", why) from error
    try:
        statement: dict[str, Any] = msgspec.json.decode(payload)
        stated = (statement["_type"], statement["predicateType"])
    except (KeyError, TypeError, ValueError) as error:
        raise _refused("its signature is for something else", str(error)) from error
    if stated != (_STATEMENT_TYPE, _PREDICATE_TYPE):
        raise _refused("its signature is for something else", f"it states {stated[1]!r}")
    return statement


def _digests(statement: dict[str, Any]) -> dict[str, str]:
    """The SHA-256 of each file that was signed."""
    try:
        return {
            str(item["name"]): str(item["digest"])
            for item in statement["predicate"]["resources"]
            if item["algorithm"] == "sha256"
        }
    except (KeyError, TypeError) as error:
        raise _refused("its signature is for something else", "it lists no files") from error


def _refused(what: str, why: str) -> StartFailed:
    return StartFailed(
        f"the version does not start: {what}",
        why=f"{why}; verify_key asks for a signature of every version",
        fix="deploy it again with signing_key set, roll back to a signed version, or set no verify_key",
    )
