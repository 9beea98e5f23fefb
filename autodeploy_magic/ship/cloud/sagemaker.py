"""SageMaker: a real-time or a serverless endpoint of our image. Its contract is `/ping` and `/invocations` on 8080.

Source: SageMaker's developer guide, "Use your own inference code with hosting services", "Blue/green deployments",
"Automatically scale models", "Serverless endpoints"; the API reference of CreateEndpointConfig and CreateEndpoint.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Report
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.ship.base import Cargo, Choice, Written
from autodeploy_magic.ship.cloud import aws, folder, sizing
from autodeploy_magic.ship.cloud.sagemaker_readme import readme

__all__ = ["SageMaker", "environment"]

_VARIANT = "AllTraffic"
_SERVERLESS_MIB = (1024, 2048, 3072, 4096, 5120, 6144)
_SIZES = {"medium": 1, "large": 2, "xlarge": 4}  # cores; Nxlarge has 4 * N
_FLEETS = (("large", 2, 8), ("xlarge", 4, 16), ("2xlarge", 8, 32), ("4xlarge", 16, 64))
"""Sizes of a general family: cores, and GiB."""


class SageMaker:
    """SageMaker endpoint: CloudFormation with blue/green, roll-back and scaling; the API's JSON; scripts."""

    choices = (
        folder.REGION,
        aws.role_choice("role_arn", "the endpoint, which may pull the image and write logs"),
        Choice(
            "kind",
            "instances that always run, or an endpoint that costs per request",
            "realtime",
            ("realtime", "serverless"),
        ),
        Choice("instance_type", "kind of machine; empty chooses the smallest ml.m5 (ml.m6g for arm64) that it fits in"),
        Choice("min_instances", "machines that always run", 2),
        Choice("max_instances", "machines at most", 6),
        folder.CANARY,
        Choice("bake_minutes", "how long the canary is watched before all requests go to the new version", 10),
        Choice("memory", "MiB of a serverless endpoint: 1024 to 6144 in steps of 1024; 0 derives it", 0),
        Choice("concurrency", "requests at once that a serverless endpoint takes, 1 to 200; 0 derives it", 0),
    )

    def refuse(self, cargo: Cargo) -> None:
        """Answers that stream, images elsewhere than in ECR, and options that cannot be."""
        folder.no_streams(cargo, "SageMaker's /invocations")
        aws.only_ecr(cargo, "SageMaker")
        aws.region(cargo)
        aws.role(cargo, "role_arn")
        _variant(cargo)
        _fleet(cargo)

    def write(self, cargo: Cargo, target: Path, report: Report) -> Written:
        """Write template.yaml, cli/*.json, request.json, settings.env, the scripts and README.md."""
        folder.write_yaml(target, "template.yaml", _template(cargo), "deploy.sh creates and updates a stack of this.")
        for name, value in _cli(cargo).items():
            folder.write_json(target, f"cli/{name}.json", value)
        folder.write_json(target, "request.json", {"inputs": cargo.example()})
        settings = folder.base_settings(
            cargo, REGION=aws.region(cargo), ROLE_ARN=aws.role(cargo, "role_arn"), REPOSITORY=cargo.name
        )
        folder.write_scripts(target, ("ecr", "sagemaker"), settings, ("IMAGE", "REGION", "ROLE_ARN"))
        folder.write_text(target, "README.md", readme(cargo, settings, _serverless(cargo)))
        notes = (*folder.image_notes(cargo), *sizing.measured_notes(cargo))
        return Written(notes=notes, next=folder.next_steps(cargo))


def environment(cargo: Cargo) -> dict[str, str]:
    """What the container's environment says. SageMaker starts it as `serve`, which is port 8080 of our entry."""
    return {**folder.GUARDED, "AUTODEPLOY_WORKERS": str(_workers(cargo))}


def _serverless(cargo: Cargo) -> bool:
    return cargo.text("kind") == "serverless"


def _instance(cargo: Cargo) -> str:
    """The smallest machine with a core for each worker, and a quarter of whose memory is to spare."""
    typed = folder.checked(cargo, "instance_type", r"ml\.[a-z0-9-]+\.([a-z0-9-]*(medium|large|metal))", "ml.m5.large")
    if typed:
        return typed
    family = "ml.m6g" if folder.machine() == "arm64" else "ml.m5"
    return f"{family}.{sizing.smallest(cargo, _FLEETS)}"


def _cores(size: str) -> int:
    matched = re.fullmatch(r"([0-9]+)xlarge", size)
    return 4 * int(matched[1]) if matched else _SIZES.get(size, 4)


def _workers(cargo: Cargo) -> int:
    return 1 if _serverless(cargo) else sizing.workers_for(cargo, _cores(_instance(cargo).rsplit(".", 1)[1]))


def _fleet(cargo: Cargo) -> tuple[int, int]:
    least = sizing.between(cargo, "min_instances", 2, 1, 1000)
    most = sizing.between(cargo, "max_instances", 6, 1, 1000)
    if most < least:
        raise InvalidOption(f"max_instances is {most}, and min_instances {least}", fix=f"--set max_instances={least}")
    return least, most


def _variant(cargo: Cargo) -> dict[str, Any]:
    """The production variant without its model. Serverless memory: the next step above `sizing.memory_mib`."""
    if not _serverless(cargo):
        least, _ = _fleet(cargo)
        return {
            "VariantName": _VARIANT,
            "InstanceType": _instance(cargo),
            "InitialInstanceCount": least,
            "InitialVariantWeight": 1,
            "ContainerStartupHealthCheckTimeoutInSeconds": max(60, sizing.start_s(cargo)),
        }
    wanted = cargo.number("memory")
    if wanted and wanted not in _SERVERLESS_MIB:
        raise InvalidOption(
            f"memory cannot be {wanted} MiB",
            why="a serverless endpoint has 1024 to 6144, in steps of 1024",
            fix=f"--set memory={sizing.step_up(min(wanted, 6144), _SERVERLESS_MIB, 'memory')}",
        )
    memory = wanted or sizing.step_up(
        sizing.memory_mib(cargo, 1), _SERVERLESS_MIB, "the memory of a serverless endpoint"
    )
    at_once = sizing.between(cargo, "concurrency", sizing.concurrency(cargo, 1, 200), 1, 200)
    return {"VariantName": _VARIANT, "ServerlessConfig": {"MemorySizeInMB": memory, "MaxConcurrency": at_once}}


def _dimensions(cargo: Cargo) -> list[dict[str, str]]:
    return [{"Name": "EndpointName", "Value": cargo.name}, {"Name": "VariantName", "Value": _VARIANT}]


def _alarms(cargo: Cargo) -> dict[str, dict[str, Any]]:
    """What rolls a new version back: the share of 5XX answers, and the latency that the SLO line promises."""

    def series(key: str, metric: str) -> dict[str, Any]:
        stat = {"Namespace": "AWS/SageMaker", "MetricName": metric, "Dimensions": _dimensions(cargo)}
        return {"Id": key, "MetricStat": {"Metric": stat, "Period": 60, "Stat": "Sum"}, "ReturnData": False}

    share = {"Id": "share", "Expression": "bad / IF(all > 0, all, 1)", "Label": "share of 5XX", "ReturnData": True}
    found = {
        "errors": aws.alarm(
            f"{cargo.name}-errors",
            f"more of the answers of {cargo.name} than promised are 5XX",
            sizing.error_share(cargo),
            [share, series("bad", "Invocation5XXErrors"), series("all", "Invocations")],
        )
    }
    promised = sizing.latency_limit(cargo)
    if promised is not None:
        quantile, limit = promised
        found["latency"] = aws.alarm(
            f"{cargo.name}-latency",
            f"{quantile} of {cargo.name} is over what was promised; in microseconds",
            round(limit * 1e6, 3),
            metric={
                "Namespace": "AWS/SageMaker",
                "MetricName": "ModelLatency",
                "Dimensions": _dimensions(cargo),
                "ExtendedStatistic": quantile,
            },
        )
    return found


def _rollout(cargo: Cargo) -> dict[str, Any]:
    """Blue/green: a canary where there are two machines to tell apart, all at once where there is one."""
    least, _ = _fleet(cargo)
    wait = 60 * sizing.between(cargo, "bake_minutes", 10, 1, 60)
    routing: dict[str, Any] = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": wait}
    if least > 1:
        percent = sizing.canary_percent(least, sizing.between(cargo, "canary", 10, 1, 50))
        routing = {
            "Type": "CANARY",
            "WaitIntervalInSeconds": wait,
            "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": percent},
        }
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": 120,
            "MaximumExecutionTimeoutInSeconds": max(3600, 2 * wait + 1800),
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": one["AlarmName"]} for one in _alarms(cargo).values()]},
    }


def _tracking(cargo: Cargo) -> dict[str, Any]:
    """Half of what a machine can answer a minute (`sizing.per_minute`); more at once, fewer after five minutes."""
    return {
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
        "TargetValue": float(sizing.per_minute(cargo, _workers(cargo))),
        "ScaleOutCooldown": 60,
        "ScaleInCooldown": 300,
    }


def _scaled(cargo: Cargo) -> dict[str, Any]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{cargo.name}/variant/{_VARIANT}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }


def _template(cargo: Cargo) -> dict[str, Any]:
    tags = [{"Key": key, "Value": value} for key, value in folder.release_labels(cargo).items()]
    container = {"Image": {"Ref": "Image"}, "Mode": "SingleModel", "Environment": environment(cargo)}
    endpoint: dict[str, Any] = {
        "EndpointName": cargo.name,
        "EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]},
        "Tags": tags,
    }
    resources: dict[str, Any] = {
        "Model": _resource(
            "SageMaker::Model", {"ExecutionRoleArn": {"Ref": "RoleArn"}, "PrimaryContainer": container, "Tags": tags}
        ),
        "Config": _resource(
            "SageMaker::EndpointConfig",
            {
                "ProductionVariants": [{"ModelName": {"Fn::GetAtt": ["Model", "ModelName"]}, **_variant(cargo)}],
                "Tags": tags,
            },
        ),
        "Endpoint": _resource("SageMaker::Endpoint", endpoint),
    }
    alarms = {f"{name.title()}Alarm": value for name, value in _alarms(cargo).items()}
    resources |= {name: _resource("CloudWatch::Alarm", value) for name, value in alarms.items()}
    if not _serverless(cargo):
        least, most = _fleet(cargo)
        # The number of machines is the autoscaler's: an update keeps what it is at that moment.
        endpoint |= {"RetainAllVariantProperties": True, "DeploymentConfig": _rollout(cargo)}
        resources["Endpoint"]["DependsOn"] = list(alarms)
        resources["Scaled"] = _resource(
            "ApplicationAutoScaling::ScalableTarget",
            {**_scaled(cargo), "MinCapacity": least, "MaxCapacity": most},
        ) | {"DependsOn": "Endpoint"}
        resources["Scaling"] = _resource(
            "ApplicationAutoScaling::ScalingPolicy",
            {
                "PolicyName": f"{cargo.name}-invocations",
                "PolicyType": "TargetTrackingScaling",
                "ScalingTargetId": {"Ref": "Scaled"},
                "TargetTrackingScalingPolicyConfiguration": _tracking(cargo),
            },
        )
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"SageMaker endpoint {cargo.name}, v{cargo.version.number}",
        "Parameters": {
            "Image": aws.image_parameter(),
            "RoleArn": {
                "Type": "String",
                "AllowedPattern": f"^{aws.ROLE_PATTERN}$",
                "Description": "role of the endpoint",
            },
        },
        "Resources": resources,
        "Outputs": {"EndpointName": {"Value": {"Fn::GetAtt": ["Endpoint", "EndpointName"]}}},
    }


def _resource(kind: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Properties": properties}


def _cli(cargo: Cargo) -> dict[str, dict[str, Any]]:
    """The same as the bodies of API calls. SET_IMAGE, SET_ROLE_ARN and SET_RELEASE are put in by create.sh."""
    tags = [{"Key": key, "Value": value} for key, value in folder.release_labels(cargo).items()]
    files: dict[str, dict[str, Any]] = {
        "model": {
            "ModelName": "SET_RELEASE",
            "ExecutionRoleArn": "SET_ROLE_ARN",
            "PrimaryContainer": {"Image": folder.PLACEHOLDER, "Mode": "SingleModel", "Environment": environment(cargo)},
            "Tags": tags,
        },
        "endpoint-config": {
            "EndpointConfigName": "SET_RELEASE",
            "ProductionVariants": [{"ModelName": "SET_RELEASE", **_variant(cargo)}],
            "Tags": tags,
        },
        "endpoint": {"EndpointName": cargo.name, "EndpointConfigName": "SET_RELEASE"},
        **{f"alarm-{name}": value for name, value in _alarms(cargo).items()},
    }
    if not _serverless(cargo):
        least, most = _fleet(cargo)
        files["endpoint"] |= {"RetainAllVariantProperties": True, "DeploymentConfig": _rollout(cargo)}
        files["scalable-target"] = {**_scaled(cargo), "MinCapacity": least, "MaxCapacity": most}
        files["scaling-policy"] = {
            "PolicyName": f"{cargo.name}-invocations",
            **_scaled(cargo),
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": _tracking(cargo),
        }
    return files
