"""What the README of a SageMaker folder says."""

from __future__ import annotations

from collections.abc import Mapping

from autodeploy_magic.ship.base import Cargo
from autodeploy_magic.ship.cloud import folder

__all__ = ["readme"]


def readme(cargo: Cargo, settings: Mapping[str, str], serverless: bool) -> str:
    """The whole text."""
    return folder.readme(
        cargo,
        "SageMaker",
        {
            "Before you begin": _BEFORE,
            "Go live": _LIVE,
            "A new version": _NEW_SERVERLESS if serverless else _NEW,
            "Without CloudFormation": _CLI,
            "Roll back": _BACK,
            "Take down": _DOWN,
            "What this does not do": _NOT,
        },
        settings,
        checked=_CHECKED,
    )


_BEFORE = """
- The `aws` command, version 2, logged in as somebody who may use CloudFormation, SageMaker, CloudWatch, Application
  Auto Scaling and ECR, and may pass the role below.
- `ROLE_ARN`: a role that `sagemaker.amazonaws.com` may assume, with the right to pull from the repository (ECR) and
  to write logs and metrics (CloudWatch). `ship sagemaker --set role_arn=...` writes it into `settings.env`.
- `REGION`: where.
- docker, podman, nerdctl or buildah with the image, or skopeo for an archive, for `push.sh` alone.
"""

_LIVE = """
    export REGION=... ROLE_ARN=...
    IMAGE=$(sh push.sh) && export IMAGE
    sh deploy.sh
    sh invoke.sh

The endpoint takes JSON (`{"inputs": ...}`, `{"instances": ...}`, pandas' forms) and CSV (`text/csv`). IAM decides
who may call `InvokeEndpoint`; the image itself asks for no token there (`AUTODEPLOY_AUTH=off`), since nothing else
reaches it.
"""

_NEW = """
Ship it into another folder (or into this one with `--replace`), then `sh push.sh` and `sh deploy.sh` there. A
second fleet is started, gets its share of the requests, and all of them where no alarm went off (blue/green). Where
one did, SageMaker gives the requests back to the old fleet, and CloudFormation says so. With one machine there is
nothing to share: all requests move at once, and the alarms still move them back.
"""

_NEW_SERVERLESS = """
Ship it into another folder (or into this one with `--replace`), then `sh push.sh` and `sh deploy.sh` there. A
serverless endpoint has no canary and no roll-back by alarms: SageMaker offers neither there.
"""

_CLI = """
`cli/` has the same as bodies of API calls, for who uses no CloudFormation: `sh create.sh` makes model,
configuration, alarms, endpoint and scaling with `aws ... --cli-input-json`, and updates what is there. By hand: put
the image, the role's ARN and a name in place of SET_IMAGE, SET_ROLE_ARN and SET_RELEASE. Use one of the two ways:
the endpoint's name is the same. `sh delete.sh` takes down what `create.sh` made.
"""

_BACK = """
`deploy.sh` says at its end which image served before: `IMAGE=THAT sh deploy.sh` goes back to it, by the same
canary.
"""

_DOWN = """
`sh teardown.sh` deletes the stack. Images stay (`aws ecr delete-repository --force --repository-name REPOSITORY`),
and logs (`aws logs delete-log-group --log-group-name /aws/sagemaker/Endpoints/NAME`).
"""

_NOT = """
- No VPC, no key of KMS, no data capture: add them to `template.yaml` where your account asks for them.
- No streamed answers, and no request over what SageMaker allows (25 MB; a serverless endpoint 4 MB).
- What is recorded in the container (metrics, sampled requests) is gone with its machine.
- Memory, scaling and time to start were derived from one measurement on another machine: load-test before you rely
  on it.
"""

_CHECKED = """
The image's entry was started as SageMaker starts it (`serve`, port 8080, the environment of the template) and asked
`GET /ping` and `POST /invocations` in JSON and CSV. `template.yaml` was checked with cfn-lint.
"""
