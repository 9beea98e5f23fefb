"""What the Prometheus Operator is told: where to scrape, with which token, and what to alert on."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.ship.base import Cargo
from autodeploy_magic.ship.kubernetes.manifests import TOKEN_KEY, TRACK, metadata, selector, token_secret
from autodeploy_magic.ship.rules import matching, slo_rules

__all__ = ["groups", "prometheus_rule", "service_monitor"]


def service_monitor(cargo: Cargo, namespace: str = "") -> dict[str, Any]:
    """Each pod's /metrics, asked for with the token of the Secret, every 15 s."""
    credentials = {"name": token_secret(cargo), "key": TOKEN_KEY}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": metadata(cargo, namespace),
        "spec": {
            "jobLabel": "app.kubernetes.io/name",
            "podTargetLabels": [TRACK],
            "selector": {"matchLabels": selector(cargo)},
            "endpoints": [
                {
                    "port": "http",
                    "path": "/metrics",
                    "interval": "15s",
                    "scrapeTimeout": "10s",
                    "authorization": {"type": "Bearer", "credentials": credentials},
                }
            ],
        },
    }


def prometheus_rule(cargo: Cargo, namespace: str = "", *, metrics_namespace: str = "") -> dict[str, Any]:
    """The SLO line's alerts, of one namespace's pods; `metrics_namespace` where `namespace` is an overlay's to say."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": metadata(cargo, namespace),
        "spec": {"groups": groups(cargo, metrics_namespace or namespace)},
    }


def groups(cargo: Cargo, namespace: str) -> list[dict[str, Any]]:
    """`ship.rules`, held to one namespace: the same deployment may run in several, as for development."""
    every = matching(cargo.name)
    only = matching(cargo.name, f'namespace="{namespace}"')

    def held(rule: dict[str, Any]) -> dict[str, Any]:
        changed = {**rule, "expr": rule["expr"].replace(every, only)}
        if "record" in rule:  # it is added up over pods, and would lose the label that its alert asks for
            changed["labels"] = {**rule.get("labels", {}), "namespace": namespace}
        return changed

    return [{**group, "rules": [held(rule) for rule in group["rules"]]} for group in slo_rules(cargo)]
