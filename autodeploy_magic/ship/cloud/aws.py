"""What the places of AWS have in common: the image's registry, roles, alarms, and what a README says of them."""

from __future__ import annotations

import re
from typing import Any

from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.base import Cargo, Choice
from autodeploy_magic.ship.cloud.folder import checked, in_registry

__all__ = ["IMAGE_PATTERN", "ROLE_PATTERN", "alarm", "image_parameter", "only_ecr", "region", "role", "role_choice"]

ROLE_PATTERN = r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]{1,256}"
IMAGE_PATTERN = r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[a-z0-9._/-]+@sha256:[0-9a-f]{64}"
"""An image of an account's own registry by its digest: a tag that came to mean another image would change nothing."""

_ECR = re.compile(r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/.+")


def only_ecr(cargo: Cargo, place: str) -> None:
    """Raise `ShipFailed` for an image in a registry that `place` does not pull from."""
    if in_registry(cargo.reference) and not _ECR.fullmatch(cargo.reference):
        raise ShipFailed(
            f"{place} cannot pull {cargo.reference}",
            why="it takes images from the account's own registry (ECR) alone",
            fix="leave --image out: push.sh, which is written too, brings the image there",
        )


def region(cargo: Cargo) -> str:
    """The option `region`, "" or such as eu-central-1. Raises `InvalidOption`."""
    return checked(cargo, "region", r"[a-z]{2}(-[a-z]+)+-[0-9]", "eu-central-1")


def role_choice(name: str, who: str) -> Choice:
    """An option that names a role."""
    return Choice(name, f"ARN of the role of {who}; empty leaves it to the environment variable {name.upper()}")


def role(cargo: Cargo, name: str) -> str:
    """A role's ARN, or "". Raises `InvalidOption`."""
    return checked(cargo, name, ROLE_PATTERN, "arn:aws:iam::111122223333:role/serving")


def image_parameter() -> dict[str, Any]:
    """The template's parameter for the image."""
    return {
        "Type": "String",
        "AllowedPattern": f"^{IMAGE_PATTERN}$",
        "Description": "the image, by its digest: what push.sh prints",
    }


def alarm(
    name: str,
    told: str,
    threshold: float,
    metrics: list[dict[str, Any]] | None = None,
    *,
    metric: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """An alarm as CloudWatch's PutMetricAlarm and CloudFormation both take it: three bad minutes of five.

    Of one `metric`, or of `metrics` that are computed with. No data is no alarm: nobody asked.
    """
    over = {"Metrics": metrics} if metrics is not None else {**(metric or {}), "Period": 60}
    return {
        "AlarmName": name,
        "AlarmDescription": told,
        **over,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": threshold,
        "EvaluationPeriods": 5,
        "DatapointsToAlarm": 3,
        "TreatMissingData": "notBreaching",
    }
