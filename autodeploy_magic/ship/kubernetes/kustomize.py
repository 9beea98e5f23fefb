"""`ship kubernetes`: a base, and overlays for development, staging and production.

base/                  what is the same everywhere: Deployment, Service, account, network policy, ServiceMonitor
overlays/dev           one pod
overlays/staging       two pods, as few as show what several do, and the alerts
overlays/production    the autoscaler, the budget, the alerts, the way in from outside
canary/                another version beside production's, behind the same Service
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Report
from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.base import Cargo, Written
from autodeploy_magic.ship.kubernetes import manifests, whole
from autodeploy_magic.ship.kubernetes.checks import assert_good, folder_faults
from autodeploy_magic.ship.kubernetes.kustomization import write_kustomization
from autodeploy_magic.ship.kubernetes.kustomize_readme import kustomize_readme
from autodeploy_magic.ship.kubernetes.reasons import CHOICES, digest_of, namespace_of, notes, refuse, repository, tag_of
from autodeploy_magic.ship.kubernetes.whole import around

__all__ = ["Kubernetes"]

_ENVIRONMENTS = ("dev", "staging", "production")

Objects = dict[str, Mapping[str, Any]]
"""A file's name → the object in it."""


class Kubernetes:
    """Writes a kustomize base with overlays for dev, staging and production, for any Kubernetes from 1.30 on."""

    choices = CHOICES
    image = "needed"

    def refuse(self, cargo: Cargo) -> None:
        refuse(cargo, "ship kubernetes")

    def write(self, cargo: Cargo, folder: Path, report: Report) -> Written:
        base = _files(whole.base(cargo))
        write_kustomization(folder / "base", base, {"resources": list(base)})
        for environment in _ENVIRONMENTS:
            own = _overlay(cargo, environment)
            said = {
                "namespace": place(cargo, environment),
                "resources": ["../../base", *own],
                "images": [_image(cargo)],
            }
            count = _count(cargo, environment)
            if count:
                said["replicas"] = [{"name": cargo.name, "count": count}]
            write_kustomization(folder / "overlays" / environment, own, said)
            assert_good([*base.values(), *own.values()], f"overlays/{environment}")
        canary: Objects = {"deployment.yaml": manifests.deployment(cargo, track="canary")}
        said = {"namespace": place(cargo, "production"), "resources": list(canary), "images": [_image(cargo)]}
        write_kustomization(
            folder / "canary", canary, {**said, "replicas": [{"name": f"{cargo.name}-canary", "count": 1}]}
        )
        together = {**base, **_overlay(cargo, "production"), "canary": canary["deployment.yaml"]}
        assert_good(list(together.values()), "canary")
        found = list(folder_faults(folder))
        if found:
            raise ShipFailed("the kustomizations are not right", why="; ".join(found), fix="please report it")
        (folder / "README.md").write_text(kustomize_readme(cargo), "utf-8")
        return Written(notes=notes(cargo), next=_next(cargo))


def place(cargo: Cargo, environment: str) -> str:
    """The namespace of an environment."""
    namespace = namespace_of(cargo)
    return namespace if environment == "production" else f"{namespace}-{environment}"


def _files(objects: Iterable[Mapping[str, Any]]) -> Objects:
    """Each object in a file that is named by its kind."""
    return {f"{one['kind'].lower()}.yaml": one for one in objects}


def _overlay(cargo: Cargo, environment: str) -> Objects:
    """What an environment adds."""
    if environment == "dev":
        return {}
    namespace = place(cargo, environment)
    return _files(around(cargo, metrics_namespace=namespace, outside=environment == "production"))


def _count(cargo: Cargo, environment: str) -> int:
    """How many replicas an overlay says; 0 where that is the autoscaler's."""
    if environment == "production":
        return cargo.number("replicas") if cargo.text("scaling") == "none" else 0
    return 1 if environment == "dev" else 2


def _image(cargo: Cargo) -> dict[str, str]:
    """The entry of an overlay that says which image: what `kustomize edit set image` changes."""
    name = repository(cargo.reference)
    digest = digest_of(cargo.reference)
    if digest:
        return {"name": name, "newName": name, "digest": digest}
    return {"name": name, "newName": name, "newTag": tag_of(cargo.reference)}


def _next(cargo: Cargo) -> tuple[str, ...]:
    namespace = place(cargo, "production")
    return (
        f"kubectl create namespace {namespace}",
        f"kubectl -n {namespace} create secret generic {manifests.token_secret(cargo)} --from-file=token=TOKEN_FILE",
        "kubectl apply -k overlays/production",
        f"kubectl -n {namespace} rollout status deployment/{cargo.name}",
    )
