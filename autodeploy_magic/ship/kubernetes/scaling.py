"""How many pods there are: the autoscaler and the budget of what may be away at once."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.ship.base import Cargo
from autodeploy_magic.ship.kubernetes.manifests import metadata, selector
from autodeploy_magic.ship.kubernetes.sizing import sized
from autodeploy_magic.ship.rules import matching

__all__ = ["autoscaler", "budget", "request_rate", "scaled_object", "scaler"]

_UP_S, _DOWN_S = 0, 300
"""How long a need is watched before it is followed: up at once, down after five minutes, Kubernetes' own default."""


def scaler(cargo: Cargo, namespace: str = "", *, metrics_namespace: str = "") -> dict[str, Any] | None:
    """What the option `scaling` asks for: None for a fixed number of replicas.

    `metrics_namespace` is the namespace in the query for Prometheus, where `namespace` is an overlay's to say.
    """
    if cargo.text("scaling") == "hpa":
        return autoscaler(cargo, namespace)
    return scaled_object(cargo, namespace, metrics_namespace) if cargo.text("scaling") == "keda" else None


def autoscaler(cargo: Cargo, namespace: str = "") -> dict[str, Any]:
    """A HorizontalPodAutoscaler on CPU: `sizing` says at which share of the request."""
    target = {"type": "Utilization", "averageUtilization": sized(cargo).utilisation}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(cargo, namespace),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": cargo.name},
            "minReplicas": cargo.number("replicas"),
            "maxReplicas": cargo.number("max_replicas"),
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            "behavior": _behaviour(),
        },
    }


def scaled_object(cargo: Cargo, namespace: str, metrics_namespace: str) -> dict[str, Any]:
    """A KEDA ScaledObject on the rate of requests that /metrics tells: `sizing` says how many a pod takes."""
    trigger = {
        "serverAddress": cargo.text("prometheus"),
        "query": request_rate(cargo, metrics_namespace or namespace),
        "threshold": str(sized(cargo).rate),
    }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata(cargo, namespace),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": cargo.name},
            "minReplicaCount": cargo.number("replicas"),
            "maxReplicaCount": cargo.number("max_replicas"),
            "pollingInterval": 15,
            "cooldownPeriod": _DOWN_S,
            "fallback": {"failureThreshold": 4, "replicas": cargo.number("max_replicas")},
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _behaviour()}},
            "triggers": [{"type": "prometheus", "metricType": "AverageValue", "metadata": trigger}],
        },
    }


def request_rate(cargo: Cargo, namespace: str) -> str:
    """A query for its requests a second, over all pods of a namespace."""
    match = matching(cargo.name, f'namespace="{namespace}"')
    return f"sum(rate(autodeploy_requests_total{{{match}}}[1m]))"


def budget(cargo: Cargo, namespace: str = "") -> dict[str, Any]:
    """A PodDisruptionBudget: nodes are emptied one pod of it at a time. One that is not ready may always go."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(cargo, namespace),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selector(cargo, track="stable")},
        },
    }


def _behaviour() -> dict[str, Any]:
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": _UP_S,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Percent", "value": 100, "periodSeconds": 15},
                {"type": "Pods", "value": 4, "periodSeconds": 15},
            ],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": _DOWN_S,
            "selectPolicy": "Max",
            "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}],
        },
    }
