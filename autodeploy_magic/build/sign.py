"""A version's signature: sigstore's model-signing, with a key of the person's own.

`signing_key` names a private key in PEM on an elliptic curve; a password of it is read from AUTODEPLOY_SIGNING_PASSWORD
and goes nowhere else. `model_signing verify key version-folder` verifies it as a worker does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from autodeploy_magic import settings
from autodeploy_magic.errors import (
    AutodeployError,
    BadInput,
    BrokenPackage,
    InvalidOption,
    MissingPackage,
    PackageFailed,
)
from autodeploy_magic.registry import INSTALL_HINTS, need

__all__ = ["PASSWORD", "SIGNATURE", "check_keys", "sign", "signed_by"]

SIGNATURE = "version.sig"
"""The file beside version.json; `serve.signature` reads it."""

PASSWORD = "AUTODEPLOY_SIGNING_PASSWORD"  # noqa: S105  # the name of a variable
MAKE = (
    "openssl ecparam -name prime256v1 -genkey -noout -out signing.key && "
    "openssl ec -in signing.key -pubout -out signing.pub"
)
"""How a pair of keys is made."""

_CURVES = ("secp256r1", "secp384r1", "secp521r1")


def check_keys() -> None:
    """Refuse before anything is built what could not be signed, or would not start.

    Raises `InvalidOption`, `MissingPackage` or `BrokenPackage`.
    """
    verify = str(settings.get("verify_key"))
    if not settings.get("signing_key"):
        if verify:
            raise InvalidOption(
                "this version would not start: verify_key asks for a signature, and there is no signing_key",
                why=f"only what was signed with the key of {verify} is loaded",
                fix="set signing_key to the private key, or verify_key to nothing",
            )
        return
    _model_signing()
    ours = _fingerprint(_private_key().public_key())
    if not verify:
        return
    serialization = need("cryptography.hazmat.primitives.serialization", "a signature")
    try:
        theirs = _fingerprint(serialization.load_pem_public_key(Path(verify).read_bytes()))
    except (OSError, ValueError) as error:
        raise InvalidOption(
            f"verify_key cannot be read: {verify}",
            why=str(error) if isinstance(error, OSError) else "it holds no public key in PEM",
            fix="openssl ec -in signing.key -pubout -out signing.pub",
        ) from error
    if ours != theirs:
        raise InvalidOption(
            "this version would not start: signing_key and verify_key are not of one pair",
            why=f"signed with {ours[:12]}…, verified with {theirs[:12]}…",
            fix=f"openssl ec -in {settings.get('signing_key')} -pubout -out {verify}",
        )


def signed_by() -> str:
    """The fingerprint of the key that versions are signed with; "" where they are not."""
    return _fingerprint(_private_key().public_key()) if settings.get("signing_key") else ""


def sign(folder: Path) -> None:
    """Sign every file of a version's folder, where a `signing_key` is set. Raises `PackageFailed`."""
    if not settings.get("signing_key"):
        return
    signing, hashing = _model_signing()
    password = os.environ.get(PASSWORD)
    try:
        config = signing.Config().use_elliptic_key_signer(
            private_key=Path(str(settings.get("signing_key"))),
            password=password.encode() if password else None,  # it hands it on to cryptography, which takes bytes
        )
        # The signature itself, and what BentoML writes beside the version later, are named as not signed.
        ignored = [SIGNATURE, "model.yaml"]
        config.set_hashing_config(hashing.Config().set_ignored_paths(paths=ignored, ignore_git_paths=False))
        config.sign(folder, folder / SIGNATURE)
    except AutodeployError:
        raise
    except Exception as error:  # whatever model-signing and what it is made of may raise
        raise PackageFailed(
            "the version could not be signed",
            why=f"{type(error).__name__}: {error}",
            fix=f"check signing_key ({settings.get('signing_key')}); an empty one leaves versions unsigned",
        ) from error


def _private_key() -> Any:
    serialization = need("cryptography.hazmat.primitives.serialization", "signing a version (signing_key)")
    ec = need("cryptography.hazmat.primitives.asymmetric.ec", "signing a version (signing_key)")
    file = Path(str(settings.get("signing_key")))
    password = os.environ.get(PASSWORD)
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password.encode() if password else None)
    except OSError as error:
        raise InvalidOption(
            f"signing_key cannot be read: {file}", why=str(error.strerror), fix=f"make one: {MAKE}"
        ) from error
    except TypeError as error:  # cryptography's word for: a password is asked for, or given for nothing
        asked = "it has a password" if password is None else "it has no password, and one is given"
        fix = f"put it into the environment as {PASSWORD}" if password is None else f"unset {PASSWORD}"
        raise BadInput(f"signing_key cannot be opened: {file}", why=asked, fix=fix) from error
    except ValueError as error:
        wrong = password is not None and b"ENCRYPTED" in file.read_bytes()
        raise BadInput(
            f"signing_key cannot be opened: {file}",
            why="its password is another one" if wrong else "it holds no private key in PEM",
            fix=f"check {PASSWORD}" if wrong else f"make one: {MAKE}",
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in _CURVES:
        kind = key.curve.name if isinstance(key, ec.EllipticCurvePrivateKey) else type(key).__name__.strip("_")
        raise BadInput(f"signing_key is of the wrong kind: {kind}", why="it must be on P-256, P-384 or P-521", fix=MAKE)
    return key


def _fingerprint(public_key: Any) -> str:
    """The SHA-256 of a public key in PEM, which Sigstore bundles name it by."""
    import hashlib

    serialization = need("cryptography.hazmat.primitives.serialization", "a signature")
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(public_key.public_bytes(encoding, form)).hexdigest()


def _model_signing() -> tuple[Any, Any]:
    feature = "signing a version (signing_key)"
    try:
        return need("model_signing.signing", feature), need("model_signing.hashing", feature)
    except BrokenPackage as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and cause.name:  # it imports one that it does not require: pyOpenSSL
            raise MissingPackage(
                f"{feature} needs the package {cause.name}, which model-signing imports",
                why="it is not installed in this environment",
                fix=INSTALL_HINTS["model_signing"],
            ) from error
        raise
