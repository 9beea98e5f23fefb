"""What the README of a Lambda folder says."""

from __future__ import annotations

from collections.abc import Mapping

from autodeploy_magic.ship.base import Cargo
from autodeploy_magic.ship.cloud import folder

__all__ = ["readme"]


def readme(cargo: Cargo, settings: Mapping[str, str]) -> str:
    """The whole text."""
    return folder.readme(
        cargo,
        "AWS Lambda",
        {
            "Before you begin": _BEFORE,
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
- The `aws` command, version 2, logged in as somebody who may use CloudFormation, Lambda, CodeDeploy, CloudWatch and
  ECR, and may pass the roles below.
- `EXECUTION_ROLE_ARN`: a role that `lambda.amazonaws.com` may assume, with the policy AWSLambdaBasicExecutionRole.
- `CODEDEPLOY_ROLE_ARN`: a role that `codedeploy.amazonaws.com` may assume, with the policy
  AWSCodeDeployRoleForLambda.
- `REGION`: where. The image has to be in a repository of the same region and account.
- docker, podman, nerdctl or buildah with the image, or skopeo for an archive, for `push.sh` alone.
"""

_LIVE = """
    export REGION=... EXECUTION_ROLE_ARN=... CODEDEPLOY_ROLE_ARN=...
    IMAGE=$(sh push.sh) && export IMAGE
    sh deploy.sh
    sh invoke.sh

The function answers at the address that `deploy.sh` prints, to requests that are signed (SigV4) by somebody whom
IAM allows `lambda:InvokeFunctionUrl` and `lambda:InvokeFunction` on it. The image asks for no token there
(`AUTODEPLOY_AUTH=off`), since nothing else reaches it: the address is not public, and should stay so.
"""

_NEW = """
Ship it into another folder (or into this one with `--replace`), then `sh push.sh` and `sh deploy.sh` there. A
version is published, the alias `live` gives it a share of the calls, and all of them where no alarm went off. Where
one did, CodeDeploy gives them back, and the stack goes back, too.
"""

_BACK = """
`deploy.sh` says at its end which image served before: `IMAGE=THAT sh deploy.sh` goes back to it. At once: `aws
lambda update-alias --function-name NAME --name live --function-version NUMBER`, and deploy the same afterwards.
"""

_DOWN = """
`sh teardown.sh` deletes the stack. Published versions that were kept go with `aws lambda delete-function`, images
with `aws ecr delete-repository --force --repository-name REPOSITORY`, logs with `aws logs delete-log-group
--log-group-name /aws/lambda/NAME`.
"""

_NOT = """
- No streamed answers, no gRPC, and no request or answer over 6 MB: Lambda has none of these here.
- No provisioned concurrency: a first call waits for a start. Add it to the alias where that is too long.
- What is recorded in the container (metrics, sampled requests) is gone when Lambda throws it away; nobody can read
  /metrics of all copies.
- CloudWatch's Duration does not count cold starts: they are not in the alarm on latency.
"""

_CHECKED = """
The image's entry was run as the template says (its command, its environment) against a server of Lambda's Runtime
API, with the events that are here. `template.yaml` was checked with cfn-lint.
"""
