"""AWS Lambda: a function of our image behind an address that IAM guards. The image runs its `lambda` command.

Plain CloudFormation, so that the `aws` command is all it takes: an alias that CodeDeploy moves from one published
version to the next, and back where an alarm goes off.
Source: Lambda's developer guide, "Container images", "Quotas", "Function URLs"; CloudFormation's user guide,
"UpdatePolicy attribute: CodeDeployLambdaAliasUpdate".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Report
from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.base import Cargo, Choice, Written
from autodeploy_magic.ship.cloud import aws, folder, sizing
from autodeploy_magic.ship.cloud.aws_lambda_readme import readme

__all__ = ["COMMAND", "Lambda", "environment", "event"]

COMMAND = ["lambda"]
"""What the image's entry point is given."""

_LARGEST_IMAGE = 10 * 2**30
_ROLLOUTS = {
    "canary": "CodeDeployDefault.LambdaCanary10Percent5Minutes",
    "canary-long": "CodeDeployDefault.LambdaCanary10Percent30Minutes",
    "linear": "CodeDeployDefault.LambdaLinear10PercentEvery1Minute",
    "all-at-once": "CodeDeployDefault.LambdaAllAtOnce",
}
_ONE_CORE_MIB = 1769
"""Lambda gives processor by memory: so much is one whole core, which a start needs most."""


class Lambda:
    """AWS Lambda function: CloudFormation with an address, an alias and a canary with roll-back; scripts and events."""

    choices = (
        folder.REGION,
        aws.role_choice("execution_role_arn", "the function, which may write logs"),
        aws.role_choice("codedeploy_role_arn", "CodeDeploy, with AWSCodeDeployRoleForLambda"),
        Choice("architecture", "processor that the image is for; empty is this machine's", "", ("", "x86_64", "arm64")),
        Choice("memory", "MiB, 128 to 10240; 0 derives it", 0),
        Choice("timeout", "seconds that a call may take, 1 to 900; 0 derives it", 0),
        Choice("concurrency", "calls at once that are reserved for it; 0 leaves it to the account", 0),
        Choice("rollout", "how calls move to a new version", "canary", tuple(_ROLLOUTS)),
    )

    def refuse(self, cargo: Cargo) -> None:
        """Answers that stream, images over 10 GiB or elsewhere than in ECR, and options that cannot be."""
        folder.no_streams(cargo, "Lambda")
        aws.only_ecr(cargo, "Lambda")
        if cargo.image is not None and cargo.image.size_bytes > _LARGEST_IMAGE:
            raise ShipFailed(
                f"the image of {cargo.name} has {cargo.image.size_bytes / 2**30:.1f} GiB, and Lambda takes 10",
                fix="`%deploy containerize --flavour lean` leaves out what serving does not need",
            )
        aws.region(cargo)
        aws.role(cargo, "execution_role_arn")
        aws.role(cargo, "codedeploy_role_arn")
        _memory(cargo)
        _timeout(cargo)
        _reserved(cargo)

    def write(self, cargo: Cargo, target: Path, report: Report) -> Written:
        """Write template.yaml, events, settings.env, the scripts and README.md."""
        folder.write_yaml(target, "template.yaml", _template(cargo), "deploy.sh creates and updates a stack of this.")
        folder.write_json(target, "event.json", event("POST", "/predict", {"inputs": cargo.example()}))
        folder.write_json(target, "event-ready.json", event("GET", "/readyz", None))
        settings = folder.base_settings(
            cargo,
            REGION=aws.region(cargo),
            EXECUTION_ROLE_ARN=aws.role(cargo, "execution_role_arn"),
            CODEDEPLOY_ROLE_ARN=aws.role(cargo, "codedeploy_role_arn"),
            REPOSITORY=cargo.name,
        )
        wanted = ("IMAGE", "REGION", "EXECUTION_ROLE_ARN", "CODEDEPLOY_ROLE_ARN")
        folder.write_scripts(target, ("ecr", "lambda"), settings, wanted)
        folder.write_text(target, "README.md", readme(cargo, settings))
        notes = (*folder.image_notes(cargo), *sizing.measured_notes(cargo))
        return Written(notes=notes, next=folder.next_steps(cargo))


def environment() -> dict[str, str]:
    """What the function's environment says: one call at a time, so one worker; /tmp is all that can be written."""
    return {**folder.GUARDED, "AUTODEPLOY_WORKERS": "1", "AUTODEPLOY_STATE": "/tmp/autodeploy"}  # noqa: S108


def event(method: str, path: str, body: Any) -> dict[str, Any]:
    """An event as a function's address hands it on: payload format 2.0."""
    found: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": "example.lambda-url.eu-central-1.on.aws", "accept": "application/json"},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "example",
            "domainName": "example.lambda-url.eu-central-1.on.aws",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "aws-cli",
            },
            "requestId": "00000000-0000-0000-0000-000000000000",
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000",
            "timeEpoch": 1767225600000,
        },
        "isBase64Encoded": False,
    }
    if body is not None:
        found["headers"] = {**found["headers"], "content-type": "application/json"}
        found["body"] = json.dumps(body)
    return found


def _architecture(cargo: Cargo) -> str:
    return cargo.text("architecture") or {"amd64": "x86_64", "arm64": "arm64"}[folder.machine()]


def _memory(cargo: Cargo) -> int:
    """`sizing.memory_mib` of one worker, and at least 1769 MiB: below that a start has less than one core."""
    return sizing.between(cargo, "memory", max(_ONE_CORE_MIB, sizing.memory_mib(cargo, 1)), 128, 10240)


def _timeout(cargo: Cargo) -> int:
    """A start and a request: `sizing.start_s`, and what a request may take (the knob request_timeout_s)."""
    from autodeploy_magic.settings import KNOBS

    request = float(cargo.desired.settings.get("request_timeout_s", KNOBS["request_timeout_s"].default))
    return sizing.between(cargo, "timeout", min(900, sizing.start_s(cargo) + round(request)), 1, 900)


def _reserved(cargo: Cargo) -> dict[str, Any]:
    wanted = cargo.number("concurrency")
    return {"ReservedConcurrentExecutions": sizing.between(cargo, "concurrency", 0, 1, 10000)} if wanted else {}


def _alarms(cargo: Cargo) -> dict[str, dict[str, Any]]:
    """What rolls a new version back: calls that failed, 5XX answers, and the latency that the SLO line promises."""
    dimensions = [{"Name": "FunctionName", "Value": cargo.name}, {"Name": "Resource", "Value": f"{cargo.name}:live"}]

    def share(bad: str, all_: str) -> list[dict[str, Any]]:
        def series(key: str, metric: str) -> dict[str, Any]:
            stat = {"Namespace": "AWS/Lambda", "MetricName": metric, "Dimensions": dimensions}
            return {"Id": key, "MetricStat": {"Metric": stat, "Period": 60, "Stat": "Sum"}, "ReturnData": False}

        whole = {"Id": "share", "Expression": "bad / IF(all > 0, all, 1)", "Label": "share", "ReturnData": True}
        return [whole, series("bad", bad), series("all", all_)]

    limit = sizing.error_share(cargo)
    found = {
        "FailedAlarm": aws.alarm(
            f"{cargo.name}-failed", f"calls of {cargo.name} fail", limit, share("Errors", "Invocations")
        ),
        "ErrorsAlarm": aws.alarm(
            f"{cargo.name}-errors", f"answers of {cargo.name} are 5XX", limit, share("Url5xxCount", "UrlRequestCount")
        ),
    }
    promised = sizing.latency_limit(cargo)
    if promised is not None:
        quantile, seconds = promised
        metric = {
            "Namespace": "AWS/Lambda",
            "MetricName": "Duration",
            "Dimensions": dimensions,
            "ExtendedStatistic": quantile,
        }
        told = f"{quantile} of {cargo.name} is over what was promised; in milliseconds, cold starts besides"
        found["LatencyAlarm"] = aws.alarm(f"{cargo.name}-latency", told, round(seconds * 1e3, 3), metric=metric)
    return found


def _template(cargo: Cargo) -> dict[str, Any]:
    labels = folder.release_labels(cargo)
    tags = [{"Key": key, "Value": value} for key, value in labels.items()]
    memory, timeout = _memory(cargo), _timeout(cargo)
    alarms = _alarms(cargo)
    function = {
        "FunctionName": cargo.name,
        "Description": f"{cargo.name} v{cargo.version.number}",
        "PackageType": "Image",
        "Code": {"ImageUri": {"Ref": "Image"}},
        "ImageConfig": {"Command": COMMAND},
        "Architectures": [_architecture(cargo)],
        "Role": {"Ref": "ExecutionRoleArn"},
        "MemorySize": memory,
        "Timeout": timeout,
        "Environment": {"Variables": environment()},
        **_reserved(cargo),
        "Tags": tags,
    }
    # A version is published for each description: it names all that makes one differ from the last.
    told = f"${{Image}} {labels['content']} {memory} {timeout} {_architecture(cargo)}"
    published = {"FunctionName": {"Ref": "Function"}, "Description": {"Fn::Sub": told}}
    group = {
        "ApplicationName": {"Ref": "Application"},
        "ServiceRoleArn": {"Ref": "CodeDeployRoleArn"},
        "DeploymentConfigName": _ROLLOUTS[cargo.text("rollout")],
        "DeploymentStyle": {"DeploymentType": "BLUE_GREEN", "DeploymentOption": "WITH_TRAFFIC_CONTROL"},
        "AlarmConfiguration": {"Enabled": True, "Alarms": [{"Name": {"Ref": name}} for name in alarms]},
        "AutoRollbackConfiguration": {
            "Enabled": True,
            "Events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"],
        },
    }
    alias = {
        "FunctionName": {"Ref": "Function"},
        "FunctionVersion": {"Fn::GetAtt": ["Published", "Version"]},
        "Name": "live",
    }
    update = {"ApplicationName": {"Ref": "Application"}, "DeploymentGroupName": {"Ref": "Rollout"}}
    address = {"TargetFunctionArn": {"Ref": "Function"}, "Qualifier": "live", "AuthType": "AWS_IAM"}
    role = {"Type": "String", "AllowedPattern": f"^{aws.ROLE_PATTERN}$"}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Lambda function {cargo.name}, v{cargo.version.number}",
        "Parameters": {
            "Image": aws.image_parameter(),
            "ExecutionRoleArn": {**role, "Description": "role of the function"},
            "CodeDeployRoleArn": {**role, "Description": "role of CodeDeploy"},
        },
        "Resources": {
            "Function": {"Type": "AWS::Lambda::Function", "Properties": function},
            "Published": {  # the one before is kept: CodeDeploy goes back to it
                "Type": "AWS::Lambda::Version",
                "DeletionPolicy": "Retain",
                "UpdateReplacePolicy": "Retain",
                "Properties": published,
            },
            "Live": {
                "Type": "AWS::Lambda::Alias",
                "Properties": alias,
                "UpdatePolicy": {"CodeDeployLambdaAliasUpdate": update},
            },
            "Address": {"Type": "AWS::Lambda::Url", "DependsOn": "Live", "Properties": address},
            "Application": {"Type": "AWS::CodeDeploy::Application", "Properties": {"ComputePlatform": "Lambda"}},
            "Rollout": {"Type": "AWS::CodeDeploy::DeploymentGroup", "Properties": group},
            **{name: {"Type": "AWS::CloudWatch::Alarm", "Properties": value} for name, value in alarms.items()},
        },
        "Outputs": {"Url": {"Value": {"Fn::GetAtt": ["Address", "FunctionUrl"]}}},
    }
