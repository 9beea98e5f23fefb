"""Azure Machine Learning: a managed online endpoint of our image, blue and green.

Source: learn.microsoft.com, "CLI (v2) managed online endpoint YAML schema", "CLI (v2) managed online deployment YAML
schema", "Deploy a custom container to an online endpoint", "Autoscale online endpoints".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Report
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.ship.base import Cargo, Choice, Written
from autodeploy_magic.ship.cloud import folder, sizing
from autodeploy_magic.shipping import PORT

__all__ = ["AzureML", "environment"]

_SCHEMAS = "https://azuremlschemas.azureedge.net/latest"
_MACHINES = (
    ("Standard_DS2_v2", 2, 7),
    ("Standard_DS3_v2", 4, 14),
    ("Standard_DS4_v2", 8, 28),
    ("Standard_DS5_v2", 16, 56),
)


class AzureML:
    """Azure ML managed online endpoint: endpoint.yml, deployment.yml, blue and green, autoscaling; scripts."""

    choices = (
        Choice("resource_group", "group of the workspace; empty leaves it to the environment variable RESOURCE_GROUP"),
        Choice("workspace", "workspace; empty leaves it to the environment variable WORKSPACE"),
        Choice("registry", "container registry (ACR) of push.sh; empty leaves it to the environment variable REGISTRY"),
        Choice("endpoint", "name of the endpoint, unique in its region; empty is the deployment's name"),
        Choice("auth", "what a caller shows: a key, or a token of Microsoft Entra", "key", ("key", "aad_token")),
        Choice("instance_type", "kind of machine; empty chooses the smallest Standard_DS that it fits in"),
        Choice("min_instances", "machines that always run", 2),
        Choice("max_instances", "machines at most", 5),
        folder.CANARY,
    )

    def refuse(self, cargo: Cargo) -> None:
        """Answers that stream, names that Azure refuses, and options that cannot be."""
        folder.no_streams(cargo, "a managed online endpoint")
        _endpoint_name(cargo)
        _settings(cargo)
        _deployment(cargo)

    def write(self, cargo: Cargo, target: Path, report: Report) -> Written:
        """Write endpoint.yml, deployment.yml, request.json, settings.env, the scripts and README.md."""
        name = _endpoint_name(cargo)
        endpoint = {
            "$schema": f"{_SCHEMAS}/managedOnlineEndpoint.schema.json",
            "name": name,
            "auth_mode": cargo.text("auth"),
            "tags": folder.release_labels(cargo),
        }
        folder.write_yaml(target, "endpoint.yml", endpoint, "deploy.sh creates it once.")
        head = "deploy.sh creates it as blue or as green, and puts the image in."
        folder.write_yaml(target, "deployment.yml", _deployment(cargo), head)
        folder.write_json(target, "request.json", {"inputs": cargo.example()})
        settings = folder.base_settings(cargo, **_settings(cargo))
        wanted = ("IMAGE", "RESOURCE_GROUP", "WORKSPACE", "REGISTRY")
        folder.write_scripts(target, ("azureml",), settings, wanted)
        parts = {
            "Before you begin": _BEFORE,
            "Go live": _LIVE,
            "A new version": _NEW,
            "Roll back": _BACK,
            "Take down": _DOWN,
            "What this does not do": _NOT,
        }
        folder.write_text(target, "README.md", folder.readme(cargo, "Azure ML", parts, settings, checked=_CHECKED))
        return Written(notes=(*folder.image_notes(cargo), *sizing.measured_notes(cargo)), next=folder.next_steps(cargo))


def environment(cargo: Cargo) -> dict[str, str]:
    """What the container's environment says."""
    return {**folder.GUARDED, "PORT": str(PORT), "AUTODEPLOY_WORKERS": str(max(1, cargo.desired.workers))}


def _endpoint_name(cargo: Cargo) -> str:
    name = cargo.text("endpoint") or cargo.name
    pattern = r"[a-z][a-z0-9-]{1,30}[a-z0-9]"
    if cargo.text("endpoint"):
        return folder.checked(cargo, "endpoint", pattern, "iris-serving")
    if not 3 <= len(name) <= 32:
        raise InvalidOption(
            f"{name} cannot name an endpoint of Azure ML",
            why="a name has 3 to 32 characters",
            fix="--set endpoint=NAME",
        )
    return name


def _fleet(cargo: Cargo) -> tuple[int, int]:
    least = sizing.between(cargo, "min_instances", 2, 1, 500)
    most = sizing.between(cargo, "max_instances", 5, 1, 500)
    if most < least:
        raise InvalidOption(f"max_instances is {most}, and min_instances {least}", fix=f"--set max_instances={least}")
    return least, most


def _settings(cargo: Cargo) -> dict[str, str]:
    least, most = _fleet(cargo)
    return {
        "RESOURCE_GROUP": folder.checked(cargo, "resource_group", r"[A-Za-z0-9_][\w.()-]{0,88}[\w()-]", "serving"),
        "WORKSPACE": folder.checked(cargo, "workspace", r"[A-Za-z0-9][\w-]{2,32}", "serving"),
        "REGISTRY": folder.checked(cargo, "registry", r"[A-Za-z0-9]{5,50}", "myregistry"),
        "ENDPOINT": _endpoint_name(cargo),
        "REPOSITORY": cargo.name,
        "CANARY": str(sizing.between(cargo, "canary", 10, 1, 99)),
        "MIN_INSTANCES": str(least),
        "MAX_INSTANCES": str(most),
    }


def _deployment(cargo: Cargo) -> dict[str, Any]:
    """One of blue and green. A start may take `sizing.start_s`, a request what it may take here, 180 s at most."""
    from autodeploy_magic.settings import KNOBS

    kind = folder.checked(cargo, "instance_type", r"Standard_[A-Za-z0-9_-]{1,60}", "Standard_DS2_v2")
    workers = max(1, cargo.desired.workers)
    request_s = float(cargo.desired.settings.get("request_timeout_s", KNOBS["request_timeout_s"].default))
    probe = {"period": 10, "timeout": 5, "success_threshold": 1}
    start_s = sizing.start_s(cargo)
    return {
        "$schema": f"{_SCHEMAS}/managedOnlineDeployment.schema.json",
        "name": "blue",
        "endpoint_name": _endpoint_name(cargo),
        "environment": {
            "name": cargo.name,
            "image": folder.image_or_placeholder(cargo),
            "inference_config": {
                "liveness_route": {"path": "/livez", "port": PORT},
                "readiness_route": {"path": "/readyz", "port": PORT},
                "scoring_route": {"path": "/predict", "port": PORT},
            },
        },
        "environment_variables": environment(cargo),
        "instance_type": kind or sizing.smallest(cargo, _MACHINES),
        "instance_count": _fleet(cargo)[0],
        "request_settings": {
            "request_timeout_ms": round(1000 * min(180.0, max(1.0, request_s))),
            "max_concurrent_requests_per_instance": sizing.concurrency(cargo, workers, 1000),
        },
        "liveness_probe": {**probe, "initial_delay": start_s, "failure_threshold": 6},
        "readiness_probe": {**probe, "initial_delay": 5, "failure_threshold": max(3, round(start_s / 10))},
        "tags": folder.release_labels(cargo),
    }


_BEFORE = """
- `az` with its extension `ml` (`az extension add --name ml`), logged in as somebody who may use the workspace, and
  write to the registry.
- `RESOURCE_GROUP` and `WORKSPACE`: where. `REGISTRY`: a container registry (ACR), only its name.
- The endpoint's own identity has to be allowed to pull: a workspace's own registry is; for another one give it the
  role AcrPull there, once the endpoint exists.
- docker, podman, nerdctl or buildah with the image (for linux/amd64), or skopeo for an archive, for `push.sh`
  alone.
"""

_LIVE = """
    export RESOURCE_GROUP=... WORKSPACE=... REGISTRY=...
    IMAGE=$(sh push.sh) && export IMAGE
    sh deploy.sh
    sh invoke.sh

Azure asks a caller for the endpoint's key or token; the image asks for none there (`AUTODEPLOY_AUTH=off`), since
nothing else reaches it.
"""

_NEW = """
Ship it into another folder (or into this one with `--replace`), then `sh push.sh` and `sh deploy.sh` there: it goes
into the free one of blue and green, and gets CANARY percent of the requests. `sh promote.sh` gives it all, and
deletes the other one. Nothing is moved by alarms here: look at the endpoint's metrics between the two.
"""

_BACK = """
While both are there: `sh rollback.sh` gives all requests to the other one, and deletes this one. Later: `sh
deploy.sh` and `sh promote.sh` in the folder of the version before.
"""

_DOWN = """
`sh teardown.sh` deletes the endpoint with all that is deployed to it, and its autoscaling. Images stay (`az acr
repository delete --name REGISTRY --repository NAME`), and so does the environment (`az ml environment archive`).
"""

_NOT = """
- No private network, no data collection: add them to the two YAML files.
- No streamed answers, and no request that takes more than 180 seconds: Azure's limits.
- A fifth more machines than wanted have to be within your quota: Azure keeps that for updates.
- What is recorded in the container (metrics, sampled requests) is gone with its machine.
- Machines and scaling were derived from one measurement on another machine: load-test before you rely on it.
"""

_CHECKED = """
The image's entry was started with the environment of `deployment.yml`, and asked at the routes that it names. The
YAML was checked by hand against Microsoft's published schemas: no package carries them, so no test does.
"""
