"""MLflow models: a folder with an MLmodel file, or the address of one. The native object where there is one."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from autodeploy_magic.build.read.given import Given, Loaded, given_at
from autodeploy_magic.build.read.guarded import check_allowed, guarded
from autodeploy_magic.build.read.named import Named, is_pickle, named_in
from autodeploy_magic.errors import AutodeployError, BadInput, MissingPackage
from autodeploy_magic.registry import need

__all__ = ["MlflowReader", "quiet", "reader", "without_credentials"]


class MlflowReader:
    """By its flavors, in the order of `_FLAVORS`: the file in the folder is read as what it is, like any other file.

    So what is data needs no leave, and MLflow itself is needed for addresses, and where a flavor has no file that is
    known here.
    """

    title = "an MLflow model"

    def recognises(self, given: Given) -> bool:
        return "MLmodel" in given.names or (given.path.name == "MLmodel" and given.head[:1] != b"{")

    def fetched(self, uri: str, *, allow_pickle: bool) -> Loaded:
        """Read `models:/NAME/1`, `models:/NAME@alias` or `runs:/ID/path` of the server that MLflow is set to."""
        quiet()
        mlflow = need("mlflow", f"reading {uri}")
        artifacts = need("mlflow.artifacts", f"reading {uri}")
        with tempfile.TemporaryDirectory(prefix="autodeploy-mlflow-") as folder:
            try:
                place = artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)
            except (Exception, SystemExit) as error:  # MLflow asks a server, a database or a disk
                raise _not_fetched(uri, error, mlflow) from error
            given = given_at(str(place), allow_pickle=allow_pickle)
            found = self.read(given)
        return replace(found, source=f"{uri} ({found.source.partition(' (')[2]}")

    def read(self, given: Given) -> Loaded:
        folder = given.path if given.is_folder else given.path.parent
        if not given.is_folder:
            given = given_at(str(folder), allow_pickle=given.allow_pickle, into=given.into)
        about = _about(given)
        flavors: Mapping[str, Mapping[str, Any]] = about.get("flavors") or {}
        notes = _notes(about, flavors)
        for name, part in _FLAVORS.items():
            if name not in flavors:
                continue
            place = _inside(folder, part(flavors[name]))
            if place is not None and not _has_code(flavors[name]):
                from autodeploy_magic.build.read import read_given

                inner = given_at(str(place), allow_pickle=given.allow_pickle, into=given.into)
                found = read_given(inner)
                return Loaded(_kept(found.model, place), given.source, found.allowed_by, (*notes, *found.notes))
        return self._by_pyfunc(given, flavors, notes)

    def _by_pyfunc(self, given: Given, flavors: Mapping[str, Any], notes: tuple[str, ...]) -> Loaded:
        """The object that MLflow itself loads: of a flavor that knows how, else one with its `predict`."""
        if "python_function" not in flavors:
            raise BadInput(
                f"{given.name} is an MLflow model of no flavor that can be loaded here",
                why=f"it has: {', '.join(flavors) or 'none'}",
                fix="log it with mlflow.pyfunc, or load it in the notebook and use --model",
            )
        check_allowed(given, "an MLflow model with Python code of its own", _named(given))
        quiet()
        pyfunc = need("mlflow.pyfunc", f"reading {given.name}")
        with guarded(given):
            try:
                found = pyfunc.load_model(str(given.path))
            except (BadInput, ModuleNotFoundError):
                raise
            except Exception as error:  # the model's own code runs
                words = " ".join(str(error).split())[:300]
                raise BadInput(
                    f"{given.name} cannot be loaded by MLflow",
                    why=f"{type(error).__name__}: {words}",
                    fix=f"pip install -r {given.path / 'requirements.txt'}",
                ) from error
            with contextlib.suppress(Exception):  # a flavor that has no native object says so in its own way
                found = found.get_raw_model()
        return Loaded(found, given.source, given.allowed_by, (*notes, *given.notes))


def _data(flavor: Mapping[str, Any]) -> str:
    return str(flavor.get("data") or flavor.get("model_data") or "")


def _torch(flavor: Mapping[str, Any]) -> str:
    return f"{_data(flavor) or 'data'}/model.p*t*"  # .pth is a pickled module, .pt2 a program of torch.export


def _keras(flavor: Mapping[str, Any]) -> str:
    kept = str(flavor.get("keras_model_save_format") or "keras")
    return f"{_data(flavor) or 'data'}/model.{kept.removeprefix('.')}"


_FLAVORS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "onnx": _data,
    "xgboost": _data,
    "lightgbm": _data,
    "catboost": _data,
    "sklearn": lambda flavor: str(flavor.get("pickled_model") or _data(flavor)),
    "pytorch": _torch,
    "keras": _keras,
    "tensorflow": _keras,
    "statsmodels": _data,
}
"""Flavor → where its file lies in the folder, * for any letters. Source: `save_model` of each flavor, mlflow 3.17."""


def _has_code(flavor: Mapping[str, Any]) -> bool:
    return bool(flavor.get("code"))  # modules of its own, which MLflow puts where its pickle finds them


def _inside(folder: Path, part: str) -> Path | None:
    """The file that a flavor names, where it lies in the folder: MLmodel may say anything."""
    if not part:
        return None
    place = (folder / part).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise BadInput(
            f"{folder.name}/MLmodel names {part!r}, which lies outside the folder",
            why="a model's parts lie in its folder; this one was not read",
            fix="ask who made it",
        )
    found = sorted(place.parent.glob(place.name)) if place.parent.is_dir() else []
    found = [file for file in found if file.resolve().is_relative_to(folder.resolve())]  # and no link leads out of it
    return found[0] if found else None


def _about(given: Given) -> dict[str, Any]:
    yaml = need("yaml", f"reading {given.name}/MLmodel")
    try:
        found = yaml.safe_load((given.path / "MLmodel").read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{given.name}/MLmodel cannot be read", why=" ".join(str(error).split())[:200], fix="log the model again"
        ) from error
    if not isinstance(found, dict):
        raise BadInput(f"{given.name}/MLmodel says nothing of a model", fix="log the model again")
    return found


def _notes(about: Mapping[str, Any], flavors: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Where a library has another release than the one that the model was logged with."""
    import importlib.metadata

    notes = []
    for key, package in (("sklearn_version", "scikit-learn"), ("pytorch_version", "torch"), ("xgb_version", "xgboost")):
        theirs = next((flavor[key] for flavor in flavors.values() if key in flavor), None)
        try:
            ours = importlib.metadata.version(package) if theirs else None
        except importlib.metadata.PackageNotFoundError:
            continue
        if theirs and ours and str(theirs).partition("+")[0] != ours.partition("+")[0]:
            notes.append(f"it was logged with {package} {theirs}, and {ours} reads it: it may answer otherwise")
    if about.get("mlflow_version") and notes:
        notes.append(f"logged by MLflow {about['mlflow_version']}")
    return tuple(notes)


def _kept(model: Any, place: Path) -> Any:
    """An ONNX file of a temporary folder is taken into memory: the folder is gone when the version is made."""
    if not isinstance(model, Path) or "autodeploy-mlflow-" not in str(place):
        return model
    return need("onnx", "reading an ONNX model of MLflow's").load(str(model))


def _named(given: Given) -> Named:
    """What the pickles of the folder name, and that it brings modules, where it does."""
    names: list[str] = []
    whole = True
    for name in given.names:
        file = given.path / name
        with file.open("rb") as stream:
            if not is_pickle(stream.read(256)):
                names += [name] if name.startswith("code/") and name.endswith(".py") else []
                continue
        found = named_in(file.read_bytes())
        names += found.names
        whole = whole and found.whole
    return Named(tuple(dict.fromkeys(names)), whole)


def _not_fetched(uri: str, error: BaseException, mlflow: Any) -> AutodeployError:
    where = without_credentials(str(mlflow.get_tracking_uri()))
    words = without_credentials(" ".join(str(error).split()))[:300]
    if isinstance(error, ModuleNotFoundError) and error.name:
        return MissingPackage(
            f"the tracking store {where} needs the package {error.name}",
            why="mlflow-skinny has no databases in it",
            fix="pip install mlflow, or point MLFLOW_TRACKING_URI to a tracking server",
        )
    return BadInput(
        f"MLflow has no {uri}",
        why=f"{where} says {type(error).__name__}: {words}",
        fix="set the server with mlflow.set_tracking_uri(…) or MLFLOW_TRACKING_URI, and check the name",
    )


def quiet() -> None:
    """Have MLflow report to nobody what is done with it, unless the person has chosen that."""
    import os

    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def without_credentials(text: str) -> str:
    """`text` with no user and no password in any address that it holds, and no query, which may be a token."""
    import re

    text = re.sub(r"(?<=://)[^/@\s'\"]*@", "", text)
    return re.sub(r"(?<=\?)[^\s'\"]+", "…", text)


reader = MlflowReader()
