"""Who reaches the pods, and whom they reach: network policy, Ingress, HTTPRoute."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from autodeploy_magic.ship.base import Cargo
from autodeploy_magic.ship.kubernetes.manifests import GRPC_PORT, metadata, selector, service
from autodeploy_magic.ship.kubernetes.sizing import sized
from autodeploy_magic.shipping import PORT

__all__ = ["door", "http_route", "ingress", "network_policy", "route"]

_NAMESPACE = "kubernetes.io/metadata.name"
_OTLP_PORT = 4318


def door(cargo: Cargo) -> str:
    """How it is reached from outside: "ingress", "gateway" or "none"; of "auto", an Ingress where there is a host."""
    chosen = cargo.text("ingress")
    if chosen != "auto":
        return chosen
    return "ingress" if cargo.text("host") else "none"


def network_policy(cargo: Cargo, namespace: str = "") -> dict[str, Any]:
    """In: pods of its own namespace, the ingress controller's, the scraper's. Out: DNS, and its traces' collector."""
    ports = [{"protocol": "TCP", "port": PORT}]
    if cargo.desired.grpc:
        ports.append({"protocol": "TCP", "port": GRPC_PORT})
    sources: list[dict[str, Any]] = [{"podSelector": {}}]
    if door(cargo) != "none":
        sources.append(_from(cargo.text("ingress_namespace")))
    rules: list[dict[str, Any]] = [{"from": sources, "ports": ports}]
    if cargo.text("monitoring") == "yes":
        rules.append({"from": [_from(cargo.text("monitoring_namespace"))], "ports": ports[:1]})
    dns = {"namespaceSelector": {"matchLabels": {_NAMESPACE: "kube-system"}}}
    out: list[dict[str, Any]] = [
        {
            "to": [{**dns, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
            "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
        }
    ]
    collector = str(cargo.setting("otlp_endpoint"))
    if collector:
        out.append({"ports": [{"protocol": "TCP", "port": _port_of(collector)}]})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(cargo, namespace),
        "spec": {
            "podSelector": {"matchLabels": selector(cargo)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": rules,
            "egress": out,
        },
    }


def route(cargo: Cargo, namespace: str = "") -> dict[str, Any] | None:
    """The Ingress or the HTTPRoute that is asked for, or None."""
    make = {"ingress": ingress, "gateway": http_route}.get(door(cargo))
    return make(cargo, namespace) if make is not None else None


def ingress(cargo: Cargo, namespace: str = "") -> dict[str, Any]:
    """An Ingress over TLS. Its certificate is in a Secret that a person, or cert-manager, makes."""
    host, kind = cargo.text("host"), cargo.text("ingress_class")
    backend = {"service": {"name": cargo.name, "port": {"name": "http"}}}
    extra: dict[str, Any] = {}
    if kind == "nginx":  # its own limits are 1 MiB and 60 s
        extra["annotations"] = {
            "nginx.ingress.kubernetes.io/proxy-body-size": str(int(cargo.setting("max_body_bytes"))),
            "nginx.ingress.kubernetes.io/proxy-read-timeout": str(sized(cargo).request_timeout_s + 5),
        }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(cargo, namespace) | extra,
        "spec": {
            "ingressClassName": kind,
            "tls": [{"hosts": [host], "secretName": f"{cargo.name}-tls"}],
            "rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
        },
    }


def http_route(cargo: Cargo, namespace: str = "") -> dict[str, Any]:
    """A Gateway API route. TLS ends at the Gateway, whose listener holds the certificate."""
    place, _, name = cargo.text("gateway").rpartition("/")
    parent = {"name": name, **({"namespace": place} if place else {})}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata(cargo, namespace),
        "spec": {
            "parentRefs": [parent],
            "hostnames": [cargo.text("host")],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                    "timeouts": {"request": f"{sized(cargo).request_timeout_s + 5}s"},
                    "backendRefs": [{"name": cargo.name, "port": service(cargo)["spec"]["ports"][0]["port"]}],
                }
            ],
        },
    }


def _from(namespace: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {_NAMESPACE: namespace}}}


def _port_of(address: str) -> int:
    try:
        parts = urlsplit(address)
        return parts.port or {"https": 443, "http": 80}.get(parts.scheme, _OTLP_PORT)
    except ValueError:
        return _OTLP_PORT
