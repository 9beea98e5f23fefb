"""Signatures of versions: made by sigstore's model-signing, verified before anything is loaded."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from sklearn.linear_model import LogisticRegression

from autodeploy_magic import settings
from autodeploy_magic.build import Built
from autodeploy_magic.build.sign import PASSWORD, check_keys, sign
from autodeploy_magic.contracts import Version, decode, encode
from autodeploy_magic.errors import ArtifactChanged, BadInput, InvalidOption, MissingPackage, StartFailed
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.serve.signature import SIGNATURE
from autodeploy_magic.store import Store

pytest.importorskip("OpenSSL", reason="model-signing imports pyOpenSSL, which it does not require")


def keys(folder: Path, name: str, *, curve: ec.EllipticCurve | None = None, password: bytes | None = None) -> Path:
    """Write a pair of keys; returns the private one, the public one lies beside it as .pub."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    (folder / f"{name}.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, locked))
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)
    return folder / f"{name}.key"


@pytest.fixture
def key(tmp_path: Path, home: Path) -> Path:
    return keys(tmp_path, "mine")


def use(key: Path | None, verify: Path | None) -> None:
    settings.set_option("signing_key", str(key or ""))
    settings.set_option("verify_key", str(verify or ""))


def signed(folder: Path, key: Path) -> Path:
    """A folder like a version's, signed."""
    folder.mkdir()
    (folder / "version.json").write_text('{"deployment": "iris"}')
    (folder / "model.onnx").write_bytes(b"model")
    use(key, None)
    sign(folder)
    return folder


def refusal(folder: Path) -> str:
    """What our verification says of a folder; "" where it is good."""
    from autodeploy_magic.serve.signature import check_signature

    try:
        check_signature(folder, (folder / "version.json").read_bytes())
    except StartFailed as error:
        return str(error)
    return ""


def theirs(folder: Path, public: Path) -> bool:
    """What model-signing says of it."""
    from model_signing import verifying

    try:
        verifying.Config().use_elliptic_key_verifier(public_key=public).verify(folder, folder / SIGNATURE)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_what_model_signing_signs_is_verified_here_and_there(tmp_path: Path, home: Path, curve: Any) -> None:
    key = keys(tmp_path, "mine", curve=curve)
    folder = signed(tmp_path / "version", key)
    use(key, key.with_suffix(".pub"))
    assert refusal(folder) == ""
    (folder / "model.yaml").write_text("written by BentoML, later")
    assert theirs(folder, key.with_suffix(".pub"))
    (folder / "version.json").write_text('{"deployment": "other"}')
    assert "version.json was changed" in refusal(folder)
    assert not theirs(folder, key.with_suffix(".pub"))


def test_another_key_is_refused_here_and_there(tmp_path: Path, key: Path) -> None:
    folder = signed(tmp_path / "version", key)
    other = keys(tmp_path, "other").with_suffix(".pub")
    use(None, other)
    assert "not signed with the key that is asked for" in refusal(folder)
    assert not theirs(folder, other)


def test_a_statement_that_was_changed_is_refused(tmp_path: Path, key: Path) -> None:
    import base64

    folder = signed(tmp_path / "version", key)
    use(key, key.with_suffix(".pub"))
    bundle = msgspec.json.decode((folder / SIGNATURE).read_bytes())
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"])
    changed = payload.replace(b"version.json", b"versioo.json")
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(changed).decode()
    (folder / SIGNATURE).write_bytes(msgspec.json.encode(bundle))
    assert "changed afterwards" in refusal(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "it is not signed"),
        (b"", "cannot be read"),
        (b"{}", "cannot be read"),
        (b'{"dsseEnvelope": {"payloadType": "x"}}', "cannot be read"),
        (b"[1]", "cannot be read"),
    ],
)
def test_no_signature_and_a_damaged_one_are_refused(
    tmp_path: Path, key: Path, content: bytes | None, words: str
) -> None:
    folder = signed(tmp_path / "version", key)
    use(key, key.with_suffix(".pub"))
    (folder / SIGNATURE).unlink()
    if content is not None:
        (folder / SIGNATURE).write_bytes(content)
    assert words in refusal(folder)


def test_a_signed_version_is_built_served_and_told(
    make: Callable[..., Built], store: Store, iris: tuple[Any, Any], key: Path, tmp_path: Path
) -> None:
    X, y = iris
    model = LogisticRegression(max_iter=500).fit(X, y)
    unsigned = make(model, X)
    use(key, key.with_suffix(".pub"))
    built = make(model, X)
    assert built.fresh  # the same content, and now with a signature
    folder = store.folder("demo") / built.version.model_path
    assert len(built.version.signed_by) == 64
    assert ServedModel.load(folder).version.signed_by == built.version.signed_by
    with pytest.raises(StartFailed, match="it is not signed"):
        ServedModel.load(store.folder("demo") / unsigned.version.model_path)
    assert not make(model, X).fresh

    # Somebody who can write the folder, and has no key: the hashes are made to fit, the signature cannot be.
    shutil.copytree(folder, tmp_path / "changed")
    version = decode(Version, (tmp_path / "changed" / "version.json").read_bytes())
    other = msgspec.structs.replace(version, number=7)
    (tmp_path / "changed" / "version.json").write_bytes(encode(other))
    with pytest.raises(StartFailed, match="not the one that was signed"):
        ServedModel.load(tmp_path / "changed")
    shutil.copytree(folder, tmp_path / "swapped")
    (tmp_path / "swapped" / "model.onnx").write_bytes(b"another model")
    with pytest.raises(ArtifactChanged, match=r"model\.onnx is not the file"):
        ServedModel.load(tmp_path / "swapped")


def test_a_password_is_taken_from_the_environment(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = keys(tmp_path, "locked", password=b"sesame")
    use(key, key.with_suffix(".pub"))
    with pytest.raises(BadInput, match=f"it has a password.*\n.*{PASSWORD}"):
        check_keys()
    monkeypatch.setenv(PASSWORD, "simsalabim")
    with pytest.raises(BadInput, match="its password is another one"):
        check_keys()
    monkeypatch.setenv(PASSWORD, "sesame")
    check_keys()
    folder = signed(tmp_path / "version", key)
    use(key, key.with_suffix(".pub"))
    assert refusal(folder) == ""
    assert "sesame" not in "".join(file.read_text("utf-8", "ignore") for file in folder.iterdir())


def test_keys_that_cannot_be_used_are_refused_before_anything_is_built(tmp_path: Path, key: Path) -> None:
    use(None, key.with_suffix(".pub"))
    with pytest.raises(InvalidOption, match="there is no signing_key"):
        check_keys()
    use(tmp_path / "nowhere.key", None)
    with pytest.raises(InvalidOption, match=r"nowhere\.key.*\n.*\n.*openssl ecparam"):
        check_keys()
    use(key.with_suffix(".pub"), None)
    with pytest.raises(BadInput, match="no private key in PEM"):
        check_keys()
    use(key, keys(tmp_path, "other").with_suffix(".pub"))
    with pytest.raises(InvalidOption, match="not of one pair"):
        check_keys()
    use(key, tmp_path / "nowhere.pub")
    with pytest.raises(InvalidOption, match="verify_key cannot be read"):
        check_keys()
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "rsa.key").write_bytes(rsa.generate_private_key(65537, 2048).private_bytes(*pem))
    use(tmp_path / "rsa.key", None)
    with pytest.raises(BadInput, match="wrong kind: RSAPrivateKey"):
        check_keys()
    use(keys(tmp_path, "bitcoin", curve=ec.SECP256K1()), None)
    with pytest.raises(BadInput, match="wrong kind: secp256k1"):
        check_keys()


def test_a_public_key_that_is_gone_stops_the_start(tmp_path: Path, key: Path) -> None:
    folder = signed(tmp_path / "version", key)
    use(None, tmp_path / "gone.pub")
    assert "cannot be read" in refusal(folder)
    use(None, key)
    assert "no public key in PEM" in refusal(folder)


def test_a_missing_package_is_named(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(key, None)
    for name in [name for name in sys.modules if name.startswith(("model_signing", "OpenSSL"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "OpenSSL", None)
    with pytest.raises(MissingPackage, match="OpenSSL"):
        check_keys()
