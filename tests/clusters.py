"""What reads manifests besides us: kubectl, helm, and the schemas of Kubernetes and of custom resources."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from autodeploy_magic.ship.base import Cargo, Written
from autodeploy_magic.shipping import Image

__all__ = ["CUSTOM", "IMAGE", "REFERENCE", "Make", "Ship", "helm", "kustomized", "objects_of", "one_of", "rejected"]

REFERENCE = "registry.example.com/ml/iris@sha256:" + "5" * 64
IMAGE = Image(
    deployment="iris",
    version=1,
    version_digest="0" * 64,
    name="localhost/iris:v1",
    flavour="lean",
    engine="podman",
    rss_bytes=73 * 2**20,
)
Make = Callable[..., Cargo]
Ship = Callable[..., tuple[Cargo, Path, Written]]

SCHEMAS = Path(__file__).parent / "ship" / "kubernetes" / "schemas"
CUSTOM = ("ServiceMonitor", "PrometheusRule", "ScaledObject", "HTTPRoute")
"""Kinds whose schemas are not Kubernetes' own."""

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")  # before any test says otherwise
_ANSWERS: dict[str, str | None] = {}
"""What was asked of node before: most objects are the same in many tests."""
_WAIT_S = 60
_SERVED = "1.34"
_SPECIAL = "kustomize.config.k8s.io/v1beta1"


def _tools() -> Path:
    lock = hashlib.sha256((SCHEMAS / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = _CACHE / "autodeploy_tests" / f"cluster-{lock}"
    if not (folder / "bin" / "helm").is_file():
        pytest.skip("kubectl, helm and the schemas are not installed: tools/cluster_tools.sh")
    return folder


def kustomized(folder: Path) -> list[dict[str, Any]]:
    """What `kubectl apply -k FOLDER` would apply."""
    run = _run([str(_tools() / "bin" / "kubectl"), "kustomize", str(folder)])
    assert run.returncode == 0, run.stderr
    assert "Warning" not in run.stderr
    return objects_of(run.stdout)


def helm(*words: str) -> subprocess.CompletedProcess[str]:
    """Run helm, away from the person's own folders."""
    folder = _tools()
    home = {f"HELM_{name}_HOME": f"{os.environ['AUTODEPLOY_HOME']}/helm" for name in ("CACHE", "CONFIG", "DATA")}
    return _run([str(folder / "bin" / "helm"), *words], env={**os.environ, **home})


def objects_of(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.load_all(text, yaml.CSafeLoader) if one]


def one_of(objects: Iterable[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The only object of a kind."""
    [found] = [each for each in objects if each["kind"] == kind]
    return found


def rejected(objects: Iterable[dict[str, Any]]) -> list[str]:
    """What a schema has against objects, each of it with the kind before: unknown fields and wrong types."""
    objects = [one for one in objects if one["apiVersion"] != _SPECIAL]
    found = []
    for one in objects:
        if one["kind"] == "InferenceService":
            found += [f"InferenceService: {why}" for why in _of_kserve(one)]
        elif one["kind"] not in CUSTOM:
            found += [f"{one['kind']}: {why}" for why in _of_kubernetes(one)]
    custom = [one for one in objects if one["kind"] in CUSTOM]
    lines = [json.dumps(one, sort_keys=True) for one in custom]
    new = sorted({line for line in lines if line not in _ANSWERS})
    if new:
        node = shutil.which("node") or pytest.skip("node is not installed")
        run = _run([node, str(SCHEMAS / "validate.cjs"), str(_tools())], given="\n".join(new))
        assert run.returncode == 0, run.stderr
        _ANSWERS.update(zip(new, map(json.loads, run.stdout.splitlines()), strict=True))
    found += [f"{one['kind']}: {_ANSWERS[line]}" for one, line in zip(custom, lines, strict=True) if _ANSWERS[line]]
    return found


def _of_kubernetes(one: dict[str, Any]) -> list[str]:
    return _validated(json.dumps(one, sort_keys=True))


@functools.cache
def _validated(line: str) -> list[str]:
    validate = pytest.importorskip("kubernetes_validate")
    try:
        validate.validate(json.loads(line), _SERVED, strict=True)
    except validate.ValidationError as error:
        return [f"{'/'.join(map(str, error.path))}: {error.message}"]
    return []


_PREDICTOR = {
    "minReplicas": int,
    "maxReplicas": int,
    "scaleMetric": str,
    "scaleTarget": int,
    "timeout": int,
    "labels": dict,
    "annotations": dict,
    "canaryTrafficPercent": int,
    "containerConcurrency": int,
    "deploymentStrategy": dict,
}
"""What a predictor has besides a pod's spec. Source: `V1beta1PredictorSpec` of the package kserve, 0.21."""


def _of_kserve(one: dict[str, Any]) -> list[str]:
    """No schema of it is packaged: its pod is held to Kubernetes' own, and the rest to a list of its fields."""
    predictor = one["spec"]["predictor"]
    own = {key: value for key, value in predictor.items() if key in _PREDICTOR}
    found = [f"{key} is a {type(value).__name__}" for key, value in own.items() if type(value) is not _PREDICTOR[key]]
    found += [f"spec has {key}" for key in one["spec"] if key not in ("predictor", "transformer", "explainer")]
    pod = {key: value for key, value in predictor.items() if key not in _PREDICTOR}
    metadata = {**one["metadata"], "labels": own.get("labels", {})}
    return found + _of_kubernetes({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod})


def _run(command: list[str], *, env: dict[str, str] | None = None, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=_WAIT_S, env=env, check=False)
