"""A version, logged to MLflow as a model that answers what the deployment answers.

Its `python_function` flavor is the version's own folder, run by the serving part of this package, which goes with it;
an ONNX version without code of the person's own has the `onnx` flavor besides.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from autodeploy_magic.build.read.mlflow import quiet, without_credentials
from autodeploy_magic.build.source import stage_source
from autodeploy_magic.contracts import Version
from autodeploy_magic.errors import AutodeployError, MissingPackage, ShipFailed
from autodeploy_magic.registry import need
from autodeploy_magic.store import Store
from autodeploy_magic.wire import decode, restore, to_container

__all__ = ["Logged", "log_version"]

_LOADER = "autodeploy_magic.serve.pyfunc"
_SAMPLE_ROWS = 5


@dataclass(frozen=True)
class Logged:
    """Where the model is: `uri` is what `mlflow.pyfunc.load_model` takes. No user or password is in any of it."""

    uri: str
    run: str
    flavors: tuple[str, ...]
    tracking: str
    registered: str = ""


def log_version(
    store: Store, version: Version, *, run: str | None = None, register: str | None = None, tracking: str | None = None
) -> Logged:
    """Log `version` into a run: `run`, the one that is active, or a new one; `register` also names it in the registry.

    `tracking` is the server's address for this call alone. Raises `ShipFailed`, or `MissingPackage` without MLflow.
    """
    quiet()
    mlflow = need("mlflow", "logging a version to MLflow")
    need("mlflow.pyfunc", "logging a version to MLflow")
    with _tracked(mlflow, tracking) as address, tempfile.TemporaryDirectory(prefix="autodeploy-mlflow-") as scratch:
        try:
            return _log(mlflow, store, version, Path(scratch), run, register, address)
        except AutodeployError:
            raise
        except (Exception, SystemExit) as error:  # MLflow asks a server, a database or a disk
            raise _failed(version, address, error) from error


def _log(
    mlflow: Any, store: Store, version: Version, scratch: Path, run: str | None, register: str | None, address: str
) -> Logged:
    folder = store.folder(version.deployment) / version.model_path
    stage_source(version, scratch)
    has_onnx = version.format.startswith("onnx") and not any(item.role == "code" for item in version.artifacts)
    title = f"{version.deployment}-v{version.number}"
    rows, answers = _example(folder, version)
    about = _about(version)

    def save_model(path: str, mlflow_model: Any, **options: Any) -> None:
        if has_onnx:
            file = next(item.path for item in version.artifacts if item.role == "model")
            onnx = next(pin for pin in (*version.environment.requirements, "onnx==") if pin.startswith("onnx=="))
            mlflow_model.add_flavor(
                "onnx",
                onnx_version=onnx.partition("==")[2] or _installed("onnx"),
                data=f"data/{folder.name}/{file}",
                providers=["CPUExecutionProvider"],
                onnx_session_options=None,
                code=None,
            )
        mlflow.pyfunc.save_model(
            path=path,
            mlflow_model=mlflow_model,
            loader_module=_LOADER,
            data_path=str(folder),
            code_paths=[str(scratch / "autodeploy_magic")],
            pip_requirements=list(version.environment.requirements),
            **options,
        )

    before = mlflow.active_run()
    started = before is None or (run is not None and before.info.run_id != run)
    within = (
        mlflow.start_run(run_id=run, run_name=None if run else title, nested=before is not None) if started else before
    )
    try:
        # Of a flavor, MLflow asks no more than this function.
        info = mlflow.models.Model.log(
            artifact_path=None,
            name=title,
            flavor=SimpleNamespace(save_model=save_model, __name__="mlflow.pyfunc"),
            registered_model_name=register,
            run_id=within.info.run_id,
            metadata=about,
            signature=_signature(mlflow, rows, answers),
            input_example=rows,
        )
        client = mlflow.MlflowClient()
        for key, value in about.items():
            client.set_tag(within.info.run_id, f"autodeploy_magic.{key}", value)
            if info.registered_model_version is not None and register:
                client.set_model_version_tag(
                    register, str(info.registered_model_version), f"autodeploy_magic.{key}", value
                )
    except BaseException:
        if started:
            mlflow.end_run("FAILED")
        raise
    if started:
        mlflow.end_run()
    registered = f"models:/{register}/{info.registered_model_version}" if register else ""
    flavors = ("onnx", "python_function") if has_onnx else ("python_function",)
    return Logged(str(info.model_uri), str(within.info.run_id), flavors, address, registered)


def _about(version: Version) -> dict[str, str]:
    """What the deployment's record says of it, as tags."""
    found = {
        "deployment": version.deployment,
        "version": str(version.number),
        "digest": version.digest,
        "format": version.format,
        "trust": f"{version.trust.level}: {version.trust.reason}",
        "allowed_by": version.trust.allowed_by,
        "signed_by": version.signed_by,
        "source": without_credentials(version.source),
    }
    return {key: value for key, value in found.items() if value}


def _example(folder: Path, version: Version) -> tuple[Any, Any]:
    """A few rows that travel with the version, in the sample's container, and what it answers to them."""
    inputs = msgspec.json.decode((folder / "sample.json").read_bytes())["inputs"]
    expected = msgspec.json.decode((folder / "expected.json").read_bytes())["predictions"]
    output = next(output for output in version.outputs if output.name == "predictions")
    rows = (
        {name: values[:_SAMPLE_ROWS] for name, values in inputs.items()}
        if isinstance(inputs, dict)
        else inputs[:_SAMPLE_ROWS]
    )
    answers = restore(output, expected[:_SAMPLE_ROWS] if output.per_row else expected)
    return to_container(decode(version.signature, rows)), answers


def _signature(mlflow: Any, rows: Any, answers: Any) -> Any:
    """MLflow's own words for inputs and outputs; None where it has none for them."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of whole numbers that might be missing one day
        try:
            return mlflow.models.infer_signature(rows, answers)
        except (mlflow.exceptions.MlflowException, TypeError, ValueError):
            return None


@contextlib.contextmanager
def _tracked(mlflow: Any, tracking: str | None) -> Iterator[str]:
    """Let `tracking` be the server for a while; gives the address in use, without user and password."""
    told = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    if tracking:
        mlflow.set_tracking_uri(tracking)
        mlflow.set_registry_uri(tracking)
    try:
        yield without_credentials(str(mlflow.get_tracking_uri()))
    finally:
        if tracking:
            mlflow.set_tracking_uri(before[0])
            mlflow.set_registry_uri(before[1])
            for name, value in told.items():  # where MLflow leaves them for processes that it starts
                os.environ.pop(name, None)
                os.environ |= {} if value is None else {name: value}


def _failed(version: Version, address: str, error: BaseException) -> AutodeployError:
    title = f"v{version.number} of {version.deployment}"
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    words = without_credentials(" ".join(str(error).split()))[:400]
    database = address.partition(":")[0].partition("+")[0] in ("sqlite", "postgresql", "mysql", "mssql")
    if missing or (database and "Unsupported" in type(error).__name__):
        return MissingPackage(
            f"{address.partition('://')[0]} as a tracking store needs {missing or 'the whole of MLflow'}",
            why="mlflow-skinny, which is installed, has no databases in it",
            fix="pip install mlflow, or give the address of a tracking server: --tracking http://…",
        )
    return ShipFailed(
        f"{title} could not be logged to MLflow at {address}",
        why=f"{type(error).__name__}: {words}",
        fix="check the address (--tracking, MLFLOW_TRACKING_URI), and that you may write there",
    )


def _installed(name: str) -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
