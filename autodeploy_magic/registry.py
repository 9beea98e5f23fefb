"""Name → "module:attr" tables: what the rooms can be extended with.

A table is read when it is asked, and an entry is imported when it is used. Third parties add entries through entry
points of the group `autodeploy_magic.TABLE`.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

from autodeploy_magic.errors import BrokenPackage, MissingPackage

__all__ = [
    "ACTIONS",
    "CHANNELS",
    "DETECTORS",
    "EXPORTERS",
    "INSTALL_HINTS",
    "LIBRARIES",
    "OPTIMISERS",
    "PROTOCOLS",
    "READERS",
    "RUNTIMES",
    "TARGETS",
    "load",
    "need",
    "table",
]

EXPORTERS: dict[str, str] = {
    "onnx": "autodeploy_magic.build.export.onnx:exporter",
    "transformers": "autodeploy_magic.build.export.transformers:exporter",
    "keras": "autodeploy_magic.build.export.keras:exporter",  # on torch's backend its models are torch's modules, too
    "torch": "autodeploy_magic.build.export.torch:exporter",
    "tensorflow": "autodeploy_magic.build.export.tensorflow:exporter",
    "xgboost": "autodeploy_magic.build.export.xgboost:exporter",
    "lightgbm": "autodeploy_magic.build.export.lightgbm:exporter",
    "catboost": "autodeploy_magic.build.export.catboost:exporter",
    "statsmodels": "autodeploy_magic.build.export.statsmodels:exporter",
    "sklearn": "autodeploy_magic.build.export.sklearn:exporter",
    "function": "autodeploy_magic.build.export.function:exporter",
}
"""Frameworks in the order they are asked; the first that recognises the object exports it."""

RUNTIMES: dict[str, str] = {
    "onnx": "autodeploy_magic.serve.runtime.onnx:OnnxRunner",
    "native": "autodeploy_magic.serve.runtime.native:NativeRunner",
    "skops": "autodeploy_magic.serve.runtime.skops:SkopsRunner",
    "xgboost": "autodeploy_magic.serve.runtime.xgboost:XGBoostRunner",
    "lightgbm": "autodeploy_magic.serve.runtime.lightgbm:LightGBMRunner",
    "catboost": "autodeploy_magic.serve.runtime.catboost:CatBoostRunner",
    "torch": "autodeploy_magic.serve.runtime.torch:TorchRunner",
    "keras": "autodeploy_magic.serve.runtime.keras:KerasRunner",
    "saved_model": "autodeploy_magic.serve.runtime.saved_model:SavedModelRunner",
    "transformers": "autodeploy_magic.serve.runtime.transformers:TransformersRunner",
    "transformers-onnx": "autodeploy_magic.serve.runtime.transformers_onnx:TransformersOnnxRunner",
}
"""`formats.Format.runtime` → what runs it in a worker."""

READERS: dict[str, str] = {
    "mlflow": "autodeploy_magic.build.read.mlflow:reader",
    "saved_model": "autodeploy_magic.build.read.saved_model:reader",
    "onnx": "autodeploy_magic.build.read.onnx:reader",
    "skops": "autodeploy_magic.build.read.skops:reader",
    "safetensors": "autodeploy_magic.build.read.safetensors:reader",
    "torch": "autodeploy_magic.build.read.torch:reader",
    "keras": "autodeploy_magic.build.read.keras:reader",
    "xgboost": "autodeploy_magic.build.read.xgboost:reader",
    "lightgbm": "autodeploy_magic.build.read.lightgbm:reader",
    "catboost": "autodeploy_magic.build.read.catboost:reader",
    "pickle": "autodeploy_magic.build.read.pickle:reader",
}
"""Kinds of files that `--file` takes, in the order they are asked; the first that recognises the path reads it."""

LIBRARIES: dict[str, str] = {
    "polars": "autodeploy_magic.wire.libraries.polars:library",
    "scipy": "autodeploy_magic.wire.libraries.scipy:library",
    "torch": "autodeploy_magic.wire.libraries.torch:library",
    "tensorflow": "autodeploy_magic.wire.libraries.tensorflow:library",
}
"""Top-level module of a container that is neither numpy's nor pandas' → how it becomes one of these, and back."""

PROTOCOLS: dict[str, str] = {
    "predict": "autodeploy_magic.serve.protocols.predict:Predict",
    "explain": "autodeploy_magic.serve.protocols.explain:Explain",
    "feedback": "autodeploy_magic.serve.protocols.feedback:Feedback",
    "health": "autodeploy_magic.serve.protocols.health:Health",
    "page": "autodeploy_magic.serve.protocols.page:TryIt",
    "docs": "autodeploy_magic.serve.protocols.docs:Docs",
    "metrics": "autodeploy_magic.serve.protocols.metrics:Metrics",
    "v2": "autodeploy_magic.serve.protocols.v2:OpenInference",
    "v2_repository": "autodeploy_magic.serve.protocols.v2_repository:ModelRepository",
    "v1": "autodeploy_magic.serve.protocols.v1:TensorFlowServing",
    "invocations": "autodeploy_magic.serve.protocols.invocations:Invocations",
}
"""Protocols that a deployment's port speaks; the first words the refusals of paths that none of them knows."""

DETECTORS: dict[str, str] = {
    "workers": "autodeploy_magic.operate.detect.workers:WorkerDetector",
    "latency": "autodeploy_magic.operate.detect.latency:LatencyDetector",
    "rate": "autodeploy_magic.operate.detect.rate:RateDetector",
    "errors": "autodeploy_magic.operate.detect.errors:ErrorDetector",
    "resources": "autodeploy_magic.operate.detect.resources:ResourceDetector",
    "leak": "autodeploy_magic.operate.detect.leak:LeakDetector",
    "disk": "autodeploy_magic.operate.detect.disk:DiskDetector",
    "certificate": "autodeploy_magic.operate.detect.certificate:CertificateDetector",
    "drift": "autodeploy_magic.operate.detect.drift:DriftDetector",
    "values": "autodeploy_magic.operate.detect.values:ValuesDetector",
    "outputs": "autodeploy_magic.operate.detect.outputs:OutputsDetector",
    "concept": "autodeploy_magic.operate.detect.river_concept:ConceptDetector",
    "slo": "autodeploy_magic.operate.detect.slo:SloDetector",
}
"""What looks for faults, in the order it is asked; see `operate.detect.base`."""

ACTIONS: dict[str, str] = {
    "end_worker": "autodeploy_magic.operate.recover.actions.end_worker:EndWorker",
    "end_trial": "autodeploy_magic.operate.recover.actions.end_trial:EndTrial",
    "roll_back": "autodeploy_magic.operate.recover.actions.roll_back:RollBack",
    "restart": "autodeploy_magic.operate.recover.actions.restart:Restart",
    "scale_up": "autodeploy_magic.operate.recover.actions.scale_up:ScaleUp",
    "fewer_workers": "autodeploy_magic.operate.recover.actions.fewer_workers:FewerWorkers",
    "shed_load": "autodeploy_magic.operate.recover.actions.shed_load:ShedLoad",
    "bigger_batches": "autodeploy_magic.operate.recover.actions.bigger_batches:BiggerBatches",
    "one_thread": "autodeploy_magic.operate.recover.actions.one_thread:OneThread",
    "longer_queue": "autodeploy_magic.operate.recover.actions.longer_queue:LongerQueue",
    "give_back": "autodeploy_magic.operate.recover.actions.give_back:GiveBack",
    "trim": "autodeploy_magic.operate.recover.actions.trim:Trim",
    "retune": "autodeploy_magic.operate.recover.actions.retune:Retune",
}
"""What recovery can do about a fault; see `operate.recover`."""

OPTIMISERS: dict[str, str] = {
    "retrain": "autodeploy_magic.operate.retune.optimise.retrain:Retrain",
    "format": "autodeploy_magic.operate.retune.optimise.format:OtherFormat",
    "onnx_graph": "autodeploy_magic.operate.retune.optimise.onnx_graph:Graph",
    "onnx_trees": "autodeploy_magic.operate.retune.optimise.onnx_trees:FewerTrees",
    "onnx_dynamic": "autodeploy_magic.operate.retune.optimise.onnx_dynamic:Dynamic",
    "onnx_static": "autodeploy_magic.operate.retune.optimise.onnx_static:Static",
    "onnx_fp16": "autodeploy_magic.operate.retune.optimise.onnx_fp16:Half",
    "onnx_magnitude": "autodeploy_magic.operate.retune.optimise.onnx_magnitude:Magnitude",
    "sklearn_refit": "autodeploy_magic.operate.retune.optimise.sklearn_refit:Refit",
    "sklearn_further": "autodeploy_magic.operate.retune.optimise.sklearn_further:Further",
    "sklearn_search": "autodeploy_magic.operate.retune.optimise.sklearn_search:Search",
    "sklearn_calibrate": "autodeploy_magic.operate.retune.optimise.sklearn_calibrate:Calibrate",
    "sklearn_threshold": "autodeploy_magic.operate.retune.optimise.sklearn_threshold:Threshold",
    "sklearn_inputs": "autodeploy_magic.operate.retune.optimise.sklearn_inputs:FewerInputs",
    "sklearn_distil": "autodeploy_magic.operate.retune.optimise.sklearn_distil:Distil",
    "sklearn_prune": "autodeploy_magic.operate.retune.optimise.sklearn_prune:PruneNeurons",
    "xgboost_further": "autodeploy_magic.operate.retune.optimise.xgboost_further:Further",
    "lightgbm_further": "autodeploy_magic.operate.retune.optimise.lightgbm_further:Further",
    "catboost_further": "autodeploy_magic.operate.retune.optimise.catboost_further:Further",
    "torch_tune": "autodeploy_magic.operate.retune.optimise.torch_tune:FineTune",
    "torch_prune": "autodeploy_magic.operate.retune.optimise.torch_prune:Prune",
    "torch_calibrate": "autodeploy_magic.operate.retune.optimise.torch_calibrate:Calibrate",
    "keras_tune": "autodeploy_magic.operate.retune.optimise.keras_tune:FineTune",
    "keras_prune": "autodeploy_magic.operate.retune.optimise.keras_prune:Prune",
    "transformers_tune": "autodeploy_magic.operate.retune.optimise.transformers_tune:FineTune",
}
"""What a re-tune can make of a model, in the order it is asked; see `operate.retune.base`. How a version is run is
searched besides ("layout")."""

CHANNELS: dict[str, str] = {
    "log": "autodeploy_magic.operate.alert.channels.log:Log",
    "webhook": "autodeploy_magic.operate.alert.channels.webhook:Webhook",
    "slack": "autodeploy_magic.operate.alert.channels.slack:Slack",
    "email": "autodeploy_magic.operate.alert.channels.email:Email",
    "command": "autodeploy_magic.operate.alert.channels.command:Command",
}
"""Ways by which alerts reach people; see `operate.alert`."""

TARGETS: dict[str, str] = {
    "kubernetes": "autodeploy_magic.ship.kubernetes.kustomize:Kubernetes",
    "helm": "autodeploy_magic.ship.kubernetes.helm:Helm",
    "kserve": "autodeploy_magic.ship.kubernetes.kserve:KServe",
    "compose": "autodeploy_magic.ship.compose.compose:Compose",
    "sagemaker": "autodeploy_magic.ship.cloud.sagemaker:SageMaker",
    "vertex": "autodeploy_magic.ship.cloud.vertex:Vertex",
    "azureml": "autodeploy_magic.ship.cloud.azureml:AzureML",
    "cloudrun": "autodeploy_magic.ship.cloud.cloudrun:CloudRun",
    "lambda": "autodeploy_magic.ship.cloud.aws_lambda:Lambda",
    "knative": "autodeploy_magic.ship.cloud.knative:Knative",
    "edge": "autodeploy_magic.ship.edge.edge:Edge",
    "ci": "autodeploy_magic.ship.ci.ci:Pipeline",
    "ray": "autodeploy_magic.ship.ray.ray_target:Ray",
}
"""Where a version can go besides an image; see `ship.base`."""

TABLES: dict[str, dict[str, str]] = {
    "exporters": EXPORTERS,
    "runtimes": RUNTIMES,
    "readers": READERS,
    "libraries": LIBRARIES,
    "protocols": PROTOCOLS,
    "detectors": DETECTORS,
    "actions": ACTIONS,
    "channels": CHANNELS,
    "optimisers": OPTIMISERS,
    "targets": TARGETS,
    "formats": {},  # ours are records, not modules: `formats.FORMATS`
}

INSTALL_HINTS: dict[str, str] = {
    "skl2onnx": "pip install 'autodeploy_magic[sklearn]'",
    "sklearn": "pip install 'autodeploy_magic[sklearn]'",
    "onnx": "pip install 'autodeploy_magic[sklearn]'",
    "pandas": "pip install pandas",
    "pyarrow": "pip install 'autodeploy_magic[arrow]'",
    "h2": "pip install 'autodeploy_magic[grpc]'",
    "cryptography": "pip install 'autodeploy_magic[tls]'",
    "opentelemetry": "pip install 'autodeploy_magic[otel]'",
    "xgboost": "pip install 'autodeploy_magic[boosters]'",
    "lightgbm": "pip install 'autodeploy_magic[boosters]'",
    "catboost": "pip install 'autodeploy_magic[boosters]'",
    "onnxmltools": "pip install 'autodeploy_magic[boosters]'",
    "torch": "pip install 'autodeploy_magic[torch]'",
    "onnxscript": "pip install 'autodeploy_magic[torch]'",
    "safetensors": "pip install 'autodeploy_magic[torch]'",
    "tensorflow": "pip install 'autodeploy_magic[tensorflow]'",
    "keras": "pip install 'autodeploy_magic[tensorflow]'",
    "tf2onnx": "pip install 'autodeploy_magic[tensorflow]'",
    "transformers": "pip install 'autodeploy_magic[transformers]'",
    "skops": "pip install 'autodeploy_magic[sklearn]'",
    "mlflow": "pip install 'autodeploy_magic[mlflow]'",
    "model_signing": "pip install 'autodeploy_magic[signing]'",
    "shap": "pip install 'autodeploy_magic[explain]'",
    "PIL": "pip install pillow",
    "river": "pip install river",
    "ray": "pip install 'autodeploy_magic[ray]'",
    "optuna": "pip install 'autodeploy_magic[tune]'",
}
"""Top-level module → the command that brings it. A module without an entry is installed under its own name."""


@cache
def table(name: str) -> dict[str, str]:
    """Return the table `name`, a key of `TABLES`: those of installed entry points, then ours.

    An entry point that reuses one of our names is ignored: a package cannot silently replace a built-in.
    """
    from importlib.metadata import entry_points

    ours = TABLES[name]
    theirs = {point.name: point.value for point in entry_points(group=f"autodeploy_magic.{name}")}
    return {name: value for name, value in theirs.items() if name not in ours} | ours


def load(reference: str) -> Any:
    """Import "module:attr" and return the attribute."""
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)


IMPORTED_WITHOUT: dict[str, tuple[str, ...]] = {
    "skops": (
        *(f"sklearn.externals.array_api_compat.{name}" for name in ("cupy", "dask", "jax", "torch")),
        "pytest",
    ),
    "river": ("sklearn", "pandas"),
}
"""Top-level module → what its import would try for in vain: it is as if not installed meanwhile. skops looks for every
estimator there is, by importing all of scikit-learn, and with it torch: 1.7 s and 200 MB instead of 0.3 s and 13 MB.
river's own data sets would bring scikit-learn: 160 MB instead of 87."""


def need(module: str, feature: str) -> Any:
    """Import and return `module`, which `feature` needs.

    Raises `MissingPackage` with the command that installs it where it is absent, `BrokenPackage` with the cause where
    it is installed and fails to import.
    """
    top = module.partition(".")[0]
    try:
        with _absent(IMPORTED_WITHOUT.get(top, ())):
            return importlib.import_module(module)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name in _not_installed(module):
            raise MissingPackage(
                f"{feature} needs the package {error.name}",
                why="it is not installed in this environment",
                fix=INSTALL_HINTS.get(top, f"pip install {top}"),
            ) from error
        raise BrokenPackage(
            f"{feature} needs {module}, which is installed and fails to import",
            why=f"{type(error).__name__}: {error}",
            fix=f"pip install --force-reinstall {top}, or `%deploy doctor` for what else is off",
        ) from error


@contextlib.contextmanager
def _absent(names: tuple[str, ...]) -> Iterator[None]:
    """Let imports of `names` fail meanwhile, but for those that are imported already."""
    hidden: list[str] = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: what Python documents for this
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def _not_installed(module: str) -> set[str]:
    """What `ModuleNotFoundError` names where a package is not installed: it, or its part of a namespace package."""
    top, *parts = module.split(".")
    names = {top}
    for part in parts:
        if getattr(sys.modules.get(top), "__file__", None) is not None:
            break  # a package of its own, in which a part that is missing is a fault
        top = f"{top}.{part}"
        names.add(top)
    return names
