"""Vertex AI: a model of our image on an endpoint, whose requests are split between versions.

The container is told its port and its paths by AIP_HTTP_PORT, AIP_HEALTH_ROUTE and AIP_PREDICT_ROUTE, and answers
{"instances": [...], "parameters": ...} with {"predictions": [...]}.
Source: Vertex AI's documentation, "Custom container requirements for inference", "Deploy a model to an endpoint";
`gcloud topic flags-file`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Report
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.ship.base import Cargo, Choice, Written
from autodeploy_magic.ship.cloud import folder, google, sizing

__all__ = ["HEALTH_ROUTE", "PORT", "Vertex", "environment", "predict_route"]

PORT = 8080
HEALTH_ROUTE = "/readyz"
_MACHINES = (
    ("e2-standard-2", 2, 8),
    ("e2-standard-4", 4, 16),
    ("e2-standard-8", 8, 32),
    ("e2-standard-16", 16, 64),
)


class Vertex:
    """Vertex AI endpoint: what gcloud uploads and deploys, a traffic split, scripts to promote and to roll back."""

    choices = (
        *google.CHOICES,
        Choice("repository", "repository in Artifact Registry that push.sh brings the image to", "models"),
        Choice("machine_type", "kind of machine; empty chooses the smallest e2-standard that it fits in"),
        Choice("min_instances", "machines that always run", 1),
        Choice("max_instances", "machines at most", 4),
        Choice("cpu_target", "percent of the processors above which a machine is added", 60),
        Choice("service_account", "account that the container runs as; empty is Vertex AI's own"),
        folder.CANARY,
    )

    def refuse(self, cargo: Cargo) -> None:
        """Answers that stream, another architecture, and options that cannot be."""
        folder.no_streams(cargo, "Vertex AI's predict")
        _machine(cargo)
        google.settings(cargo)
        google.repository(cargo)

    def write(self, cargo: Cargo, target: Path, report: Report) -> Written:
        """Write container.flags, machine.flags, request and response, settings.env, the scripts and README.md."""
        folder.write_yaml(target, "container.flags", _container(cargo), "Flags of `gcloud ai models upload`.")
        folder.write_yaml(target, "machine.flags", _machine(cargo), "Flags of `gcloud ai endpoints deploy-model`.")
        folder.write_json(target, "request.json", {"instances": _instances(cargo), "parameters": {}})
        folder.write_json(target, "response.json", {"predictions": cargo.expected()})
        settings = folder.base_settings(
            cargo,
            **google.settings(cargo),
            REPOSITORY=google.repository(cargo),
            CANARY=str(sizing.between(cargo, "canary", 10, 1, 99)),
        )
        folder.write_scripts(target, ("artifacts", "vertex"), settings, ("IMAGE", "PROJECT", "REGION"))
        parts = {
            "Before you begin": _BEFORE,
            "Go live": _LIVE,
            "A new version": _NEW,
            "Roll back": _BACK,
            "Take down": _DOWN,
            "What this does not do": _NOT,
        }
        folder.write_text(target, "README.md", folder.readme(cargo, "Vertex AI", parts, settings, checked=_CHECKED))
        notes = (*folder.image_notes(cargo), *google.notes(cargo), *sizing.measured_notes(cargo))
        return Written(notes=notes, next=folder.next_steps(cargo))


def _instances(cargo: Cargo) -> list[Any]:
    """The first rows, one after the other: Vertex AI takes a list, and no object of columns."""
    inputs = cargo.example()
    if isinstance(inputs, dict):
        return [dict(zip(inputs, row, strict=True)) for row in zip(*inputs.values(), strict=True)]
    return list(inputs)


def predict_route(cargo: Cargo) -> str:
    """The path that takes {"instances": ...}: TensorFlow Serving's, which our port speaks anyway."""
    return f"/v1/models/{cargo.name}:predict"


def environment(cargo: Cargo) -> dict[str, str]:
    """What the container's environment says; Vertex AI adds AIP_*."""
    return {**folder.GUARDED, "AUTODEPLOY_WORKERS": str(max(1, cargo.desired.workers))}


def _container(cargo: Cargo) -> dict[str, Any]:
    return {
        "--container-ports": [PORT],
        "--container-health-route": HEALTH_ROUTE,
        "--container-predict-route": predict_route(cargo),
        "--container-env-vars": environment(cargo),
        "--description": f"{cargo.name} v{cargo.version.number}",
    }


def _machine(cargo: Cargo) -> dict[str, Any]:
    """The smallest machine with a core for each worker, and as many as there were asked for."""
    kind = folder.checked(cargo, "machine_type", r"[a-z][a-z0-9]*(-[a-z0-9]+)+", "e2-standard-2")
    least = sizing.between(cargo, "min_instances", 1, 1, 1000)
    most = sizing.between(cargo, "max_instances", 4, 1, 1000)
    if most < least:
        raise InvalidOption(f"max_instances is {most}, and min_instances {least}", fix=f"--set max_instances={least}")
    account = folder.checked(
        cargo, "service_account", google.ACCOUNT_PATTERN, "serving@project.iam.gserviceaccount.com"
    )
    return {
        "--machine-type": kind or sizing.smallest(cargo, _MACHINES),
        "--min-replica-count": least,
        "--max-replica-count": most,
        "--autoscaling-metric-specs": {"cpu-usage": sizing.between(cargo, "cpu_target", 60, 1, 100)},
        **({"--service-account": account} if account else {}),
    }


_BEFORE = """
- `gcloud`, logged in as somebody who may use Vertex AI (`roles/aiplatform.user`) and write to Artifact Registry.
- The APIs: `gcloud services enable aiplatform.googleapis.com artifactregistry.googleapis.com`.
- `PROJECT` and `REGION`: where.
- docker, podman, nerdctl or buildah with the image (for linux/amd64), or skopeo for an archive, for `push.sh`
  alone.
"""

_LIVE = """
    export PROJECT=... REGION=...
    IMAGE=$(sh push.sh) && export IMAGE
    sh deploy.sh
    sh predict.sh

`request.json` is what the endpoint takes, `response.json` what this version answered to it when it was built. IAM
decides who may call it; the image asks for no token there (`AUTODEPLOY_AUTH=off`), since nothing else reaches it.
"""

_NEW = """
Ship it into another folder (or into this one with `--replace`), then `sh push.sh` and `sh deploy.sh` there: beside
a version that is on the endpoint it gets CANARY percent of the requests. `sh promote.sh` gives it all, and takes
the other one off; its model stays. Nothing is moved by alarms here: look at the endpoint's metrics between the two.
"""

_BACK = """
While both are on the endpoint: `sh rollback.sh` gives all requests to the other one. Later: `sh deploy.sh` and `sh
promote.sh` in the folder of the version before, whose model is still there.
"""

_DOWN = """
`sh teardown.sh` takes the models off, deletes the endpoint and the models. Images stay: `gcloud artifacts
repositories delete REPOSITORY --location REGION`, where nothing else is in it.
"""

_NOT = """
- No private endpoint, no key of your own, no model monitoring: add the flags to the two files of flags.
- No streamed answers, and no request or answer over 1.5 MB on a shared endpoint: Vertex AI's limits.
- What is recorded in the container (metrics, sampled requests) is gone with its machine.
- Machines and scaling were derived from one measurement on another machine: load-test before you rely on it.
"""

_CHECKED = """
The image's entry was started as Vertex AI starts it (AIP_HTTP_PORT, AIP_HEALTH_ROUTE, AIP_PREDICT_ROUTE and the
environment of `container.flags`), and asked for its health and for the predictions of `request.json`. Flags were
checked by hand against gcloud's reference; no test asks gcloud itself.
"""
