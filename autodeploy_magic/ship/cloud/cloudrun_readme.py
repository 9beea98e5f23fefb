"""What the README of a Cloud Run folder says."""

from __future__ import annotations

from collections.abc import Mapping

from autodeploy_magic.ship.base import Cargo
from autodeploy_magic.ship.cloud import folder

__all__ = ["readme"]


def readme(cargo: Cargo, settings: Mapping[str, str], *, token: bool) -> str:
    """The whole text."""
    return folder.readme(
        cargo,
        "Cloud Run",
        {
            "Before you begin": _BEFORE,
            "Who may call it": _GUARDED if token else _IAM,
            "Go live": _LIVE,
            "A new version": _NEW,
            "Roll back": _BACK,
            "Take down": _DOWN,
            "What this does not do": _NOT,
        },
        settings,
        checked=_CHECKED,
    )


_BEFORE = """
- `gcloud`, logged in as somebody who may use Cloud Run (`roles/run.admin`, and `roles/iam.serviceAccountUser` on
  the account that the container runs as) and write to Artifact Registry.
- The APIs: `gcloud services enable run.googleapis.com artifactregistry.googleapis.com
  secretmanager.googleapis.com`.
- `PROJECT` and `REGION`: where.
- docker, podman, nerdctl or buildah with the image (for linux/amd64), or skopeo for an archive, for `push.sh`
  alone.
"""

_IAM = """
Those who have `roles/run.invoker` on the service, by a Google identity token. The image asks for no token of its
own (`AUTODEPLOY_AUTH=off`). `ship cloudrun --set access=token` makes a service that anybody may reach, and that
asks for the deployment's token.
"""

_GUARDED = """
Anybody who has the token: `deploy.sh` lets all callers through to the image (`allUsers`), which asks for it. Make
it once, as a secret that is mounted as a file; no file here holds it:

    . ./settings.env
    python3 -c 'import secrets; print(secrets.token_urlsafe(32), end="")' |
        gcloud secrets create "$TOKEN_SECRET" --project "$PROJECT" --data-file=-
    gcloud secrets add-iam-policy-binding "$TOKEN_SECRET" --project "$PROJECT" \\
        --member serviceAccount:ACCOUNT --role roles/secretmanager.secretAccessor

ACCOUNT is what the container runs as. A new version of the secret is read by containers that start after it. Where
an organisation forbids `allUsers`, use `--set access=iam`.
"""

_LIVE = """
    export PROJECT=... REGION=...
    IMAGE=$(sh push.sh) && export IMAGE
    sh deploy.sh
    sh invoke.sh
"""

_NEW = """
Ship it into another folder (or into this one with `--replace`), then `sh push.sh` and `sh deploy.sh` there: its
revision gets CANARY percent of the requests, and an address of its own (the tag `canary`). `sh promote.sh` gives it
all. Nothing is moved by alarms here: look at the service's metrics between the two.
"""

_BACK = """
`sh rollback.sh` gives another revision all requests: the one that this folder's shares them with, or, once it is
promoted, the newest besides it. `STABLE=REVISION sh rollback.sh` names another.
"""

_DOWN = """
`sh teardown.sh` deletes the service. The secret stays (`gcloud secrets delete`), and so do images (`gcloud
artifacts docker images delete`).
"""

_NOT = """
- No VPC, no load balancer, no domain of your own: add them to the two YAML files, or around the service.
- No gRPC: a service of Cloud Run has one port, and this one speaks HTTP.
- What is recorded in the container (metrics, sampled requests) lies in memory, and is gone with it.
- Memory, concurrency and scaling were derived from one measurement on another machine: load-test before you rely on
  it.
"""

_CHECKED = """
The image's entry was started with PORT and the environment of `service.yaml`, and asked at the paths of its probes
and at `/predict`. The YAML was checked against the fields of Cloud Run's reference; no test asks gcloud itself.
"""
