"""push.sh, run with stand-ins: how an image gets into each cloud's registry, and that its digest alone is printed."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from typing import Any

from clouds import DIGEST, ECR, Folder, Tools
from msgspec.structs import replace

Ship = Callable[..., Folder]


def _pushed(tools: Tools, done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [shlex.join(call) for call in tools.calls]


def test_push_to_ecr_makes_the_repository_and_prints_the_digest_alone(ship: Ship, tools: Tools) -> None:
    uri = ECR.split("@")[0]
    tools.rule(r"describe-repositories", code=254)
    tools.rule(r"create-repository", f"{uri}\n")
    tools.rule(r"get-login-password", "secret-of-the-registry\n")
    tools.rule(r"describe-images", f"{DIGEST}\n")
    tools.install("aws", "podman", "docker")
    tools.reset()
    done = tools.run(ship("lambda"), "push.sh", REGION="eu-central-1")
    lines = _pushed(tools, done)
    assert done.stdout == f"{ECR}\n"
    host = uri.split("/")[0]
    assert f"podman login --username AWS --password-stdin {host}" in lines
    assert f"podman push --format v2s2 localhost/iris:v1 docker://{uri}:v1" in lines
    assert not any("secret-of-the-registry" in line for line in lines)
    assert "secret-of-the-registry\n" in tools.state()["piped"]
    tools.reset()
    lines = _pushed(tools, tools.run(ship("lambda"), "push.sh", REGION="eu-central-1", ENGINE="docker"))
    assert f"docker tag localhost/iris:v1 {uri}:v1" in lines
    assert f"docker push {uri}:v1" in lines


def test_an_archive_is_pushed_by_skopeo(ship: Ship, tools: Tools, make: Callable[..., Any]) -> None:

    archive = "/srv/it's here/iris.tar"
    image = replace(make("vertex").image, engine="", archive=archive)
    tools.rule(r"images describe", f"{DIGEST}\n")
    tools.install("gcloud", "skopeo")
    tools.reset()
    folder = ship("vertex", image=image, project="my-project", region="europe-west1")
    done = tools.run(folder, "push.sh")
    name = "europe-west1-docker.pkg.dev/my-project/models/iris"
    assert ["skopeo", "copy", "--format", "v2s2", f"oci-archive:{archive}", f"docker://{name}:v1"] in tools.calls
    assert done.stdout == f"{name}@{DIGEST}\n"


def test_push_to_azure_logs_in_with_a_token_of_az(ship: Ship, tools: Tools) -> None:
    tools.rule(r"acr show", "reg.azurecr.io\n")
    tools.rule(r"acr login", "short-lived\n")
    tools.rule(r"show-metadata", f"{DIGEST}\n")
    tools.install("az", "podman")
    tools.reset()
    done = tools.run(ship("azureml", registry="myreg"), "push.sh")
    assert done.stdout == f"reg.azurecr.io/iris@{DIGEST}\n"
    assert "short-lived\n" in tools.state()["piped"]
    assert not any("short-lived" in line for line in _pushed(tools, done))


def test_push_without_a_digest_in_the_registry_fails(ship: Ship, tools: Tools) -> None:
    tools.install("az", "podman")
    tools.reset()
    done = tools.run(ship("azureml", registry="myreg"), "push.sh")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "gives no digest" in done.stderr
