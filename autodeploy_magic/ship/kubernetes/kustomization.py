"""A folder that `kubectl apply -k` takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autodeploy_magic.ship.text import yaml_of

__all__ = ["write_kustomization"]


def write_kustomization(folder: Path, objects: Mapping[str, Mapping[str, Any]], said: Mapping[str, Any]) -> None:
    """Write each of `objects` into the file of its key, and a kustomization that says what is `said`."""
    folder.mkdir(parents=True)
    for name, one in objects.items():
        (folder / name).write_text(yaml_of(one), "utf-8")
    head = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    (folder / "kustomization.yaml").write_text(yaml_of({**head, **said}), "utf-8")
