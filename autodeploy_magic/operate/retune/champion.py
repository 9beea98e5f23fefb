"""The version that a re-tune begins with, seen by an optimiser: its files, its live object, the code around it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.contracts import Version, decode
from autodeploy_magic.errors import NotApplicable, UnknownVersion
from autodeploy_magic.formats import format_of
from autodeploy_magic.registry import load, table
from autodeploy_magic.store import Store

__all__ = ["Champion"]


@dataclass(frozen=True)
class Champion:
    """`folder` is what a worker loads (or a candidate's, no version yet); `live_folder` holds its live object.

    `root` is the version whose live object that is: of one that a re-tune made by changing its ONNX file, an earlier
    one. `kept_folder` is what was kept beside that one's Bento: the person's `retrain`, and most live objects. Loading
    them runs code of the person's own, as serving an amber version does.
    """

    version: Version
    folder: Path
    live_folder: Path
    root: Version
    kept_folder: Path

    @classmethod
    def at(cls, folder: Path, live_folder: Path, root: Version, kept_folder: Path | None = None) -> Champion:
        """The one in `folder`. Its record says which it is."""
        file = folder / "version.json"
        version = decode(Version, file.read_bytes(), source=str(file))
        return cls(version, folder, live_folder, root, kept_folder or live_folder)

    @classmethod
    def of(cls, store: Store, version: Version, folder: Path | None = None) -> Champion:
        """A version of the store; with a `folder` the candidate there, which comes from it."""
        number = version.lineage.root if version.lineage is not None else version.number
        try:
            root = store.version(version.deployment, number)
        except UnknownVersion:  # it was trimmed away, and its live object with it
            root = msgspec.structs.replace(version, live_format="", kept=())
        kept = store.live_folder(root.deployment, root.number)
        served = store.folder(root.deployment) / root.model_path
        live = served if root.live_format == root.format else kept
        return cls.at(folder or store.folder(version.deployment) / version.model_path, live, root, kept)

    @property
    def framework(self) -> str:
        """The key in `registry.EXPORTERS` of what it was made from ("sklearn", "torch", "onnx" for a file)."""
        return self.version.framework

    @property
    def has_live(self) -> bool:
        """Whether the live object is kept."""
        return bool(self.root.live_format)

    @property
    def exact(self) -> bool:
        """Whether the live object answers as what serves does, and not as an ancestor of it."""
        return self.root.number == self.version.number

    def live(self) -> Any:
        """The live object, loaded anew, to be changed at will. Raises `NotApplicable` where it is not kept."""
        if not self.has_live:
            raise NotApplicable(
                "its live object is not kept",
                why=f"v{self.version.number} was made by an old release, where nothing may be pickled, or long ago",
                fix="deploy it again from the notebook",
            )
        kept = format_of(self.root.live_format)
        self._importable()
        self._check()
        runner_type = load(table("runtimes")[kept.runtime])
        return runner_type(self.live_folder / kept.place, self.root, threads=None).model

    @cached_property
    def code(self) -> Mapping[str, Callable[..., Any]]:
        """The person's functions around the model by name ("preprocess", "predict", "postprocess"), and "retrain"."""
        self._importable()
        self._check()
        unpickle = load("autodeploy_magic.serve.runtime.native:unpickle")
        files = (self.folder / "code.pkl", self.kept_folder / "retrain.pkl")
        return {name: one for file in files if file.is_file() for name, one in unpickle(file).items()}

    def fed(self, x: Any) -> Any:
        """What the model itself is fed: `x` as the person's preprocess leaves it."""
        return self.code["preprocess"](x) if "preprocess" in self.code else x

    @property
    def onnx(self) -> Path | None:
        """The ONNX file that serves; None where it is served in another format."""
        kept = format_of(self.version.format)
        if kept.runtime == "onnx":
            return self.folder / kept.place
        if kept.runtime == "transformers-onnx":
            found = sorted((self.folder / kept.place).glob("*.onnx"))
            return found[0] if found else None
        return None

    def needs_onnx(self) -> Path:
        """The ONNX file that serves. Raises `NotApplicable`."""
        if self.onnx is None:
            raise NotApplicable(f"it is served as {format_of(self.version.format).title}, not as ONNX")
        return self.onnx

    def _importable(self) -> None:
        """Let the person's own modules, which travel with the version, be imported."""
        modules = str(self.folder / "modules")
        if modules not in sys.path and Path(modules).is_dir():
            sys.path.insert(0, modules)

    def _check(self) -> None:
        """Check what was kept against its hashes. Raises `ArtifactChanged`."""
        check = load("autodeploy_magic.serve.model:check")
        for artifact in self.root.kept:
            check(self.kept_folder, artifact)
