"""All objects of production, as one list: what an overlay with its base, and the chart, come to."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.ship.base import Cargo
from autodeploy_magic.ship.kubernetes import manifests
from autodeploy_magic.ship.kubernetes.alerts import prometheus_rule, service_monitor
from autodeploy_magic.ship.kubernetes.network import network_policy, route
from autodeploy_magic.ship.kubernetes.scaling import budget, scaler

__all__ = ["around", "base", "production"]


def base(cargo: Cargo, namespace: str = "") -> list[dict[str, Any]]:
    """What is the same in every environment."""
    found = [
        manifests.service_account(cargo, namespace),
        manifests.deployment(cargo, namespace),
        manifests.service(cargo, namespace),
        network_policy(cargo, namespace),
    ]
    return [*found, service_monitor(cargo, namespace)] if cargo.text("monitoring") == "yes" else found


def around(cargo: Cargo, namespace: str = "", *, metrics_namespace: str, outside: bool) -> list[dict[str, Any]]:
    """What is added where people depend on it; `outside` with the autoscaler and the way in."""
    found = [budget(cargo, namespace)]
    if cargo.text("monitoring") == "yes":
        found.append(prometheus_rule(cargo, namespace, metrics_namespace=metrics_namespace))
    if outside:
        found += [
            one
            for one in (scaler(cargo, namespace, metrics_namespace=metrics_namespace), route(cargo, namespace))
            if one is not None
        ]
    return found


def production(cargo: Cargo, namespace: str) -> list[dict[str, Any]]:
    """Both, in one namespace."""
    found = [*base(cargo, namespace), *around(cargo, namespace, metrics_namespace=namespace, outside=True)]
    if cargo.text("scaling") == "none":
        found[1]["spec"]["replicas"] = cargo.number("replicas")
    return found
