"""The badge of a version, and what holds its files together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from records import make_version
from sklearn.linear_model import LogisticRegression

from autodeploy_magic import settings
from autodeploy_magic.build import Built
from autodeploy_magic.contracts import Artifact, Version
from autodeploy_magic.errors import ArtifactChanged, InvalidOption
from autodeploy_magic.serve.model import ServedModel, check, check_nothing_else
from autodeploy_magic.store import Store, file_sha256


class Doubled:
    """A model that only a pickle can hold."""

    def predict(self, x: Any) -> Any:
        return x.sum(axis=1) * 2


def folder_of(store: Store, built: Built) -> Path:
    return store.folder("demo") / built.version.model_path


def test_an_amber_version_is_refused_where_pickles_are_not_allowed(
    make: Callable[..., Built], store: Store, iris: tuple[Any, Any]
) -> None:
    settings.set_option("allow_pickle", False)
    with pytest.raises(InvalidOption, match="would be amber") as refused:
        make(Doubled(), iris[0], dry_run=True)
    assert "native: a pickled model" in refused.value.why
    assert "ONNX" in refused.value.fix
    model = LogisticRegression(max_iter=500).fit(*iris)
    with pytest.raises(InvalidOption, match="postprocess of this notebook"):
        make(model, iris[0], code={"postprocess": lambda y: y}, dry_run=True)
    built = make(model, iris[0], dry_run=True)
    assert built.version.trust.level == "green"
    assert not [item for item in built.candidates if item.format == "native"]


def record(folder: Path) -> Version:
    """A version whose model is a folder of two files."""
    (folder / "saved_model").mkdir()
    (folder / "saved_model" / "saved_model.pb").write_bytes(b"graph")
    (folder / "saved_model" / "variables").write_bytes(b"numbers")
    files = [file for file in folder.rglob("*") if file.is_file()]
    artifacts = [
        Artifact(
            role="model",
            format="saved_model",
            path=file.relative_to(folder).as_posix(),
            sha256=file_sha256(file),
            size_bytes=file.stat().st_size,
        )
        for file in files
    ]
    return msgspec.structs.replace(make_version(format="saved_model"), artifacts=tuple(artifacts))


def test_each_file_of_a_folder_is_checked_and_no_other_may_be_there(tmp_path: Path) -> None:
    version = record(tmp_path)
    check_nothing_else(tmp_path, version)
    for artifact in version.artifacts:
        check(tmp_path, artifact)
        file = tmp_path / artifact.path
        before = file.read_bytes()
        file.write_bytes(before + b"!")
        with pytest.raises(ArtifactChanged, match=artifact.path):
            check(tmp_path, artifact)
        file.unlink()
        with pytest.raises(ArtifactChanged, match="is nothing"):
            check(tmp_path, artifact)
        file.write_bytes(before)
    for extra in ("saved_model/assets.pb", "code.pkl", "modules/evil.py", "modules/sub/__init__.py"):
        file = tmp_path / extra
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"smuggled")
        with pytest.raises(ArtifactChanged, match=f"{extra} is in the version's folder and was not built"):
            check_nothing_else(tmp_path, version)
        file.unlink()
    (tmp_path / "saved_model" / "link").symlink_to("/etc/hostname")
    with pytest.raises(ArtifactChanged, match="saved_model/link"):
        check_nothing_else(tmp_path, version)


def test_what_allowed_an_amber_version_is_kept_and_no_file_may_be_smuggled_in(
    make: Callable[..., Built], store: Store, iris: tuple[Any, Any]
) -> None:
    source = "model.pkl (SHA-256 1234…, 12 KB)"
    built = make(Doubled(), iris[0], source=source, allowed_by="--allow-pickle")
    trust = built.version.trust
    assert (trust.level, trust.allowed_by, built.version.source) == ("amber", "--allow-pickle", source)
    folder = folder_of(store, built)
    assert ServedModel.load(folder).version.trust == trust
    folder.chmod(0o700)
    (folder / "extra.bin").write_bytes(b"smuggled")
    with pytest.raises(ArtifactChanged, match=r"extra\.bin"):
        ServedModel.load(folder)


def test_bytecode_beside_a_module_is_never_run(tmp_path: Path) -> None:
    """Python itself would run it, whatever the source says: only the source has a hash."""
    import importlib
    import importlib.util
    import py_compile
    import sys

    from autodeploy_magic.serve.modules import importable

    modules = tmp_path / "modules"
    (modules / "inner").mkdir(parents=True)
    for source in (modules / "mine_trust.py", modules / "inner" / "__init__.py", modules / "inner" / "part.py"):
        source.write_text("answer = 'evil'\n")
        py_compile.compile(str(source), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        source.write_text("answer = 'good'\n")
    try:
        importable(modules)
        for name in ("mine_trust", "inner", "inner.part"):
            assert importlib.import_module(name).answer == "good"
    finally:
        sys.path.remove(str(modules))
        for name in ("mine_trust", "inner", "inner.part"):
            sys.modules.pop(name, None)
