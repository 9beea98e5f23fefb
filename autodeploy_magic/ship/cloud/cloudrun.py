"""Cloud Run: a service of our image. The platform says PORT, probes it, and calls it with as many requests at once as
the service allows.

Source: Cloud Run's documentation, "Container runtime contract", "YAML reference" (its serving.knative.dev/v1), "Startup
and liveness probes", "Configure secrets", "Rollbacks, gradual rollouts, and traffic migration".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Report
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.ship.base import Cargo, Choice, Written
from autodeploy_magic.ship.cloud import folder, google, sizing
from autodeploy_magic.ship.cloud.cloudrun_readme import readme

__all__ = ["PORT", "TOKEN_FILE", "CloudRun", "environment"]

PORT = 8080
TOKEN_FILE = "/secrets/autodeploy/token"  # noqa: S105 - a place, no token
_CPUS = (1, 2, 4, 6, 8)
_LEAST_MIB = {1: 128, 2: 128, 4: 2048, 6: 4096, 8: 4096}
_MOST_MIB = {1: 4096, 2: 8192, 4: 16384, 6: 24576, 8: 32768}
"""What Cloud Run allows of memory for so many processors."""


class CloudRun:
    """Cloud Run service: service.yaml with probes, secret and scaling, a canary's traffic; scripts."""

    choices = (
        *google.CHOICES,
        Choice("repository", "repository in Artifact Registry that push.sh brings the image to", "models"),
        Choice(
            "access",
            "who guards the door: IAM, by its own tokens, or the deployment's token, to anybody who has it",
            "iam",
            ("iam", "token"),
        ),
        Choice("cpu", "processors: 1, 2, 4, 6 or 8; 0 takes one a worker", 0),
        Choice("memory", "MiB; 0 derives it", 0),
        Choice("concurrency", "requests at once that a container is given, 1 to 1000; 0 derives it", 0),
        Choice("min_instances", "containers that always run", 0),
        Choice("max_instances", "containers at most", 10),
        Choice("service_account", "account that the container runs as; empty is the project's own"),
        folder.CANARY,
    )

    def refuse(self, cargo: Cargo) -> None:
        """Options that cannot be. It hands on answers that stream."""
        _resources(cargo)
        _scale(cargo)
        google.settings(cargo)
        google.repository(cargo)
        _account(cargo)

    def write(self, cargo: Cargo, target: Path, report: Report) -> Written:
        """Write service.yaml, canary.yaml, request.json, settings.env, the scripts and README.md."""
        percent = sizing.between(cargo, "canary", 10, 1, 99)
        folder.write_services(target, cargo, lambda traffic: _service(cargo, traffic), percent)
        token = cargo.text("access") == "token"
        settings = folder.base_settings(
            cargo,
            **google.settings(cargo),
            REPOSITORY=google.repository(cargo),
            CANARY=str(percent),
            ACCESS=cargo.text("access"),
            TOKEN_SECRET=_secret(cargo) if token else "",
        )
        folder.write_scripts(target, ("artifacts", "cloudrun"), settings, ("IMAGE", "PROJECT", "REGION"))
        folder.write_text(target, "README.md", readme(cargo, settings, token=token))
        notes = (*folder.image_notes(cargo), *google.notes(cargo), *sizing.measured_notes(cargo))
        return Written(notes=notes, next=folder.next_steps(cargo))


def environment(cargo: Cargo) -> dict[str, str]:
    """What the container's environment says; Cloud Run adds PORT and K_SERVICE."""
    token = cargo.text("access") == "token"
    guard = {"AUTODEPLOY_TOKEN_FILE": TOKEN_FILE, "AUTODEPLOY_HOSTS": "*"} if token else folder.GUARDED
    return {**guard, "AUTODEPLOY_WORKERS": str(sizing.workers_for(cargo, _cpu(cargo)))}


def _secret(cargo: Cargo) -> str:
    return f"{cargo.name}-token"


def _account(cargo: Cargo) -> str:
    return folder.checked(cargo, "service_account", google.ACCOUNT_PATTERN, "serving@project.iam.gserviceaccount.com")


def _cpu(cargo: Cargo) -> int:
    """One for each worker: the next number that there is."""
    wanted = cargo.number("cpu")
    if wanted and wanted not in _CPUS:
        raise InvalidOption(f"cpu cannot be {wanted}", fix="use 1, 2, 4, 6 or 8")
    return wanted or next((cpu for cpu in _CPUS if cpu >= cargo.desired.workers), _CPUS[-1])


def _resources(cargo: Cargo) -> tuple[int, int, int]:
    """Processors, MiB, requests at once. What is recorded lies in memory there, and counts: 1.5 times record_bytes."""
    from autodeploy_magic.settings import KNOBS

    cpu = _cpu(cargo)
    workers = sizing.workers_for(cargo, cpu)
    kept = float(cargo.desired.settings.get("record_bytes", KNOBS["record_bytes"].default)) * 1.5 / 2**20
    needed = -int(-(sizing.memory_mib(cargo, workers) + 64 + kept) // 128) * 128
    memory = sizing.between(cargo, "memory", max(512, _LEAST_MIB[cpu], needed), _LEAST_MIB[cpu], _MOST_MIB[cpu])
    return cpu, memory, sizing.between(cargo, "concurrency", sizing.concurrency(cargo, workers, 1000), 1, 1000)


def _scale(cargo: Cargo) -> tuple[int, int]:
    least, most = cargo.number("min_instances"), sizing.between(cargo, "max_instances", 10, 1, 1000)
    if not 0 <= least <= most:
        raise InvalidOption(f"min_instances is {least}, and max_instances {most}", fix=f"use 0 to {most}")
    return least, most


def _service(cargo: Cargo, traffic: list[dict[str, Any]]) -> dict[str, Any]:
    from autodeploy_magic.settings import KNOBS

    cpu, memory, at_once = _resources(cargo)
    least, most = _scale(cargo)
    labels = folder.release_labels(cargo)
    request_s = float(cargo.desired.settings.get("request_timeout_s", KNOBS["request_timeout_s"].default))
    container: dict[str, Any] = {
        "name": "model",
        "image": folder.PLACEHOLDER,
        "ports": [{"name": "http1", "containerPort": PORT}],
        "env": [{"name": name, "value": value} for name, value in environment(cargo).items()],
        "resources": {"limits": {"cpu": str(cpu), "memory": f"{memory}Mi"}},
        "startupProbe": {
            "httpGet": {"path": "/readyz", "port": PORT},
            "periodSeconds": 1,
            "timeoutSeconds": 1,
            "failureThreshold": min(240, sizing.start_s(cargo)),
        },
        "livenessProbe": {
            "httpGet": {"path": "/livez", "port": PORT},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
    }
    spec: dict[str, Any] = {
        "containerConcurrency": at_once,
        "timeoutSeconds": round(min(3600, max(1, request_s + 5))),
        "containers": [container],
    }
    if _account(cargo):
        spec["serviceAccountName"] = _account(cargo)
    if cargo.text("access") == "token":
        mount, _, file = TOKEN_FILE.rpartition("/")
        container["volumeMounts"] = [{"name": "token", "mountPath": mount}]
        item = {"key": "latest", "path": file}
        spec["volumes"] = [{"name": "token", "secret": {"secretName": _secret(cargo), "items": [item]}}]
    annotations = {
        "autoscaling.knative.dev/minScale": str(least),
        "autoscaling.knative.dev/maxScale": str(most),
        "run.googleapis.com/startup-cpu-boost": "true",
        "run.googleapis.com/execution-environment": "gen2",
    }
    name = f"{cargo.name}-SET_RELEASE"
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": cargo.name, "labels": labels},
        "spec": {
            "template": {"metadata": {"name": name, "labels": labels, "annotations": annotations}, "spec": spec},
            "traffic": traffic,
        },
    }
