"""Knative Serving: a service whose revisions scale with the requests at once, and share them by percent.

Source: knative.dev, "Serving API", "Configuring the Knative Pod Autoscaler", "Traffic management", and the runtime
contract of Knative's specs, which keeps PORT and K_* to the platform.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Report
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.ship.base import Cargo, Choice, Written
from autodeploy_magic.ship.cloud import folder, sizing
from autodeploy_magic.ship.kubernetes.manifests import container, labels, volumes
from autodeploy_magic.ship.kubernetes.sizing import START_S, sized
from autodeploy_magic.ship.text import check_namespace, check_reference
from autodeploy_magic.shipping import PORT

__all__ = ["Knative"]

_NOT_THERE = frozenset({"PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION", "AUTODEPLOY_GRPC_PORT"})
"""What is the platform's to say, and a second port, which it has not."""


class Knative:
    """Knative service: service.yaml, a canary's traffic, autoscaling from the SLO line; scripts."""

    choices = (
        Choice("namespace", "namespace; empty leaves it to the environment variable NAMESPACE"),
        Choice("repository", "where push.sh brings the image: REGISTRY/PATH; empty leaves it to REPOSITORY"),
        Choice("concurrency", "requests at once that a pod is aimed at; 0 derives it", 0),
        Choice("min_scale", "pods that always run", 1),
        Choice("max_scale", "pods at most", 10),
        folder.CANARY,
    )

    def refuse(self, cargo: Cargo) -> None:
        """Options that cannot be. It hands on answers that stream."""
        _scale(cargo)
        _settings(cargo)

    def write(self, cargo: Cargo, target: Path, report: Report) -> Written:
        """Write service.yaml, canary.yaml, request.json, settings.env, the scripts and README.md."""
        percent = sizing.between(cargo, "canary", 10, 1, 99)
        folder.write_services(target, cargo, lambda traffic: _service(cargo, traffic), percent)
        settings = folder.base_settings(cargo, **_settings(cargo))
        folder.write_scripts(target, ("knative",), settings, ("IMAGE", "NAMESPACE", "REPOSITORY"))
        parts = {
            "Before you begin": _BEFORE,
            "Go live": _LIVE,
            "A new version": _NEW,
            "Roll back": _BACK,
            "Take down": _DOWN,
            "What this does not do": _NOT,
        }
        folder.write_text(target, "README.md", folder.readme(cargo, "Knative", parts, settings, checked=_CHECKED))
        return Written(notes=(*folder.image_notes(cargo), *sized(cargo).assumed), next=folder.next_steps(cargo))


def _settings(cargo: Cargo) -> dict[str, str]:
    namespace, repository = cargo.text("namespace"), cargo.text("repository")
    return {
        "NAMESPACE": check_namespace(namespace) if namespace else "",
        "REPOSITORY": check_reference(repository) if repository else "",
        "CANARY": str(sizing.between(cargo, "canary", 10, 1, 99)),
    }


def _scale(cargo: Cargo) -> dict[str, str]:
    """The autoscaler aims at `sizing.concurrency` requests at once a pod; a pod is given twice as many at most."""
    least, most = cargo.number("min_scale"), sizing.between(cargo, "max_scale", 10, 1, 1000)
    if not 0 <= least <= most:
        raise InvalidOption(f"min_scale is {least}, and max_scale {most}", fix=f"use 0 to {most}")
    return {
        "autoscaling.knative.dev/class": "kpa.autoscaling.knative.dev",
        "autoscaling.knative.dev/metric": "concurrency",
        "autoscaling.knative.dev/target": str(_target(cargo)),
        "autoscaling.knative.dev/min-scale": str(least),
        "autoscaling.knative.dev/max-scale": str(most),
        "autoscaling.knative.dev/initial-scale": str(max(1, least)),
    }


def _target(cargo: Cargo) -> int:
    workers = max(1, cargo.desired.workers)
    return sizing.between(cargo, "concurrency", sizing.concurrency(cargo, workers, 500), 1, 500)


def _service(cargo: Cargo, traffic: list[dict[str, Any]]) -> dict[str, Any]:
    from autodeploy_magic.settings import KNOBS

    found = container(
        cargo, image=folder.PLACEHOLDER, port=PORT, port_name="http1", hosts="*", probes=False, pre_stop=False
    )
    found["env"] = [one for one in found["env"] if one["name"] not in _NOT_THERE]
    del found["ports"][0]["protocol"]
    found["readinessProbe"] = {"httpGet": {"path": "/readyz"}, "periodSeconds": 5, "failureThreshold": 3}
    found["livenessProbe"] = {
        "httpGet": {"path": "/livez"},
        "periodSeconds": 10,
        "timeoutSeconds": 5,
        "failureThreshold": 6,
    }
    found["livenessProbe"]["initialDelaySeconds"] = START_S  # no startup probe: older releases refuse one
    mounted = volumes(cargo)
    for volume in mounted:
        if "secret" in volume:  # a revision has no fsGroup: the file is read by the others' right
            volume["secret"]["defaultMode"] = 0o444
    request_s = float(cargo.desired.settings.get("request_timeout_s", KNOBS["request_timeout_s"].default))
    revision = {
        "metadata": {
            "name": f"{cargo.name}-SET_RELEASE",
            "labels": labels(cargo),
            "annotations": _scale(cargo),
        },
        "spec": {
            "containerConcurrency": 2 * _target(cargo),
            "timeoutSeconds": round(min(600, max(1, request_s + 5))),
            "enableServiceLinks": False,
            "containers": [found],
            "volumes": mounted,
        },
    }
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": cargo.name,
            "labels": {**labels(cargo), "app.kubernetes.io/managed-by": "autodeploy-magic"},
        },
        "spec": {"template": revision, "traffic": traffic},
    }


_BEFORE = """
- A cluster with Knative Serving 1.9 or newer (volumes of the kind emptyDir are on there), and `kubectl` that may
  create services of it in the namespace.
- `NAMESPACE`: where; it has to be there. `REPOSITORY`: where `push.sh` brings the image, as REGISTRY/PATH; log your
  engine in there before.
- The token, as a secret; no file here holds it:

      . ./settings.env
      python3 -c 'import secrets; print(secrets.token_urlsafe(32), end="")' |
          kubectl --namespace "$NAMESPACE" create secret generic "$NAME-token" --from-file=token=/dev/stdin
"""

_LIVE = """
    export NAMESPACE=... REPOSITORY=...
    IMAGE=$(sh push.sh) && export IMAGE
    sh deploy.sh

`kubectl --namespace "$NAMESPACE" get services.serving.knative.dev` tells the address. A request is `request.json`,
sent to `/predict` with the token as bearer.
"""

_NEW = """
Ship it into another folder (or into this one with `--replace`), then `sh push.sh` and `sh deploy.sh` there: its
revision gets CANARY percent of the requests, and an address of its own (the tag `canary`). `sh promote.sh` gives it
all. Nothing is moved by alarms here: look at the revision's metrics between the two.
"""

_BACK = """
`sh rollback.sh` gives another revision all requests: the one that this folder's shares them with, or, once it is
promoted, the newest besides it. `STABLE=REVISION sh rollback.sh` names another.
"""

_DOWN = """
`sh teardown.sh` deletes the service with its revisions. The secret stays, and so do images.
"""

_NOT = """
- No domain, no TLS, no network policy: the cluster's Knative has them.
- No gRPC: a service of Knative has one port, and this one speaks HTTP.
- What is recorded in a pod (metrics, sampled requests) is gone with it.
"""

_CHECKED = """
The image's entry was started with PORT, K_SERVICE and the environment of `service.yaml`, and asked at the paths of
its probes and at `/predict`, with the token and without. The YAML was checked against the fields of Knative's API.
"""
