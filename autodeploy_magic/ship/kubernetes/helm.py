"""`ship helm`: a chart. Its templates are the files of `chart/`; what is this version's own stands in values.yaml."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Report
from autodeploy_magic.ship.base import Cargo, Written
from autodeploy_magic.ship.kubernetes.alerts import groups
from autodeploy_magic.ship.kubernetes.checks import assert_good
from autodeploy_magic.ship.kubernetes.helm_readme import helm_readme
from autodeploy_magic.ship.kubernetes.manifests import GRPC_PORT, TOKEN_KEY, described, environment, token_secret
from autodeploy_magic.ship.kubernetes.network import door, ingress, network_policy
from autodeploy_magic.ship.kubernetes.reasons import CHOICES, digest_of, namespace_of, notes, refuse, repository, tag_of
from autodeploy_magic.ship.kubernetes.scaling import request_rate
from autodeploy_magic.ship.kubernetes.sizing import PRE_STOP_S, START_S, sized
from autodeploy_magic.ship.kubernetes.whole import production
from autodeploy_magic.ship.text import yaml_of
from autodeploy_magic.shipping import PORT

__all__ = ["NAMESPACE", "Helm", "values"]

NAMESPACE = "__NAMESPACE__"
"""What the templates put the release's namespace in the place of: in queries, which are values."""

_CHART = Path(__file__).parent / "chart"
_TEMPLATED = frozenset({"PORT", "POD_NAMESPACE", "AUTODEPLOY_HOSTS", "AUTODEPLOY_TOKEN_FILE", "AUTODEPLOY_GRPC_PORT"})


class Helm:
    """Writes a Helm chart with a strict schema of its values, for Helm 3.14 or newer and any Kubernetes from 1.30."""

    choices = CHOICES
    image = "needed"

    def refuse(self, cargo: Cargo) -> None:
        refuse(cargo, "ship helm")

    def write(self, cargo: Cargo, folder: Path, report: Report) -> Written:
        assert_good(production(cargo, namespace_of(cargo)), "the chart")  # its templates make the same: a test compares
        shutil.copytree(_CHART, folder, dirs_exist_ok=True)
        for path in folder.rglob("*"):  # whatever the package was installed with
            path.chmod(0o755 if path.is_dir() else 0o644)
        (folder / "Chart.yaml").write_text(yaml_of(_chart(cargo)), "utf-8")
        (folder / "values.yaml").write_text(yaml_of(values(cargo), head=_HEAD), "utf-8")
        (folder / "README.md").write_text(helm_readme(cargo), "utf-8")
        namespace, name = namespace_of(cargo), cargo.name
        return Written(
            notes=notes(cargo),
            next=(
                f"kubectl create namespace {namespace}",
                f"kubectl -n {namespace} create secret generic {token_secret(cargo)} --from-file=token=TOKEN_FILE",
                f"helm -n {namespace} upgrade --install {name} . --rollback-on-failure",
            ),
        )


_HEAD = """\
What this version needs; values.schema.json says what each may be. No value is a template.
__NAMESPACE__ in a query stands for the release's namespace."""


def _chart(cargo: Cargo) -> dict[str, Any]:
    return {
        "apiVersion": "v2",
        "name": cargo.name,
        "description": f"A {cargo.version.task} model, served by autodeploy_magic",
        "type": "application",
        "version": f"1.0.{cargo.version.number}",
        "appVersion": f"v{cargo.version.number}",
        "kubeVersion": ">=1.30.0-0",
    }


def values(cargo: Cargo) -> dict[str, Any]:
    """The chart's values: what `Kubernetes` writes for production, in the words of values.schema.json."""
    size, reference = sized(cargo), cargo.reference
    digest = digest_of(reference)
    env = {one["name"]: one["value"] for one in environment(cargo, size, port=PORT, hosts="") if "value" in one}
    hosts = [each for each in str(cargo.setting("hosts")).split(",") if each]
    place, _, gateway = cargo.text("gateway").rpartition("/")
    egress = network_policy(cargo)["spec"]["egress"][1:]
    return {
        "fullnameOverride": "",
        "version": f"v{cargo.version.number}",
        "image": {
            "repository": repository(reference),
            "tag": "" if digest else tag_of(reference),
            "digest": digest,
            "pullPolicy": "IfNotPresent",
        },
        "imagePullSecrets": [],
        "labels": {},
        "annotations": described(cargo),
        "podAnnotations": {},
        "token": {"secret": "", "key": TOKEN_KEY},
        "replicas": {"min": cargo.number("replicas"), "max": cargo.number("max_replicas")},
        "scaling": {
            "type": cargo.text("scaling"),
            "cpu": size.utilisation,
            "requestsPerSecond": size.rate,
            "prometheus": cargo.text("prometheus"),
            "query": request_rate(cargo, NAMESPACE),
        },
        "env": {name: value for name, value in env.items() if name not in _TEMPLATED},
        "hosts": ["*"] if "*" in hosts else [each.replace("$(", "$$(") for each in hosts],
        "port": PORT,
        "service": {"port": 80},
        "grpc": {"enabled": cargo.desired.grpc, "port": GRPC_PORT},
        "resources": {
            "requests": {"cpu": size.cpu, "memory": size.memory},
            "limits": {"memory": size.memory_limit},
        },
        "storage": {"medium": cargo.text("storage"), "sizeLimit": size.storage},
        "startSeconds": START_S,
        "preStopSeconds": PRE_STOP_S,
        "gracePeriodSeconds": size.grace_s,
        "podDisruptionBudget": {"enabled": True, "maxUnavailable": 1},
        "networkPolicy": {
            "enabled": True,
            "ingressNamespace": cargo.text("ingress_namespace"),
            "monitoringNamespace": cargo.text("monitoring_namespace"),
            "collectorPort": egress[0]["ports"][0]["port"] if egress else 0,
        },
        "route": {
            "type": door(cargo),
            "host": cargo.text("host"),
            "class": cargo.text("ingress_class"),
            "tlsSecret": "",
            "annotations": ingress(cargo)["metadata"].get("annotations", {}),
            "timeoutSeconds": size.request_timeout_s + 5,
            "gateway": {"name": gateway, "namespace": place},
        },
        "monitoring": {
            "enabled": cargo.text("monitoring") == "yes",
            "interval": "15s",
            "labels": {},
            "groups": groups(cargo, NAMESPACE),
        },
        "canary": {"enabled": False, "version": "", "replicas": 1, "image": {}},
        "nodeSelector": {},
        "tolerations": [],
        "affinity": {},
    }
