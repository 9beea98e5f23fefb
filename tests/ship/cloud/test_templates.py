"""What the places are asked for: the templates by cfn-lint, the rest by the fields that their references have."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clouds import DIGEST, ECR, ROLE, Folder

Ship = Callable[..., Folder]

SLO = {"slo": "p99<50ms, errors<0.1%"}


def test_cfn_lint_has_nothing_to_say_of_any_template(ship: Ship, tmp_path: Path) -> None:
    lint = shutil.which("cfn-lint") or shutil.which("cfn-lint", path=str(Path(sys.executable).parent))
    if lint is None:
        pytest.skip("cfn-lint is not installed")
    shapes: list[tuple[str, dict[str, Any]]] = [
        ("sagemaker", {"desired": SLO}),
        ("sagemaker", {"kind": "serverless"}),
        ("lambda", {"desired": SLO, "concurrency": "5", "architecture": "arm64", "rollout": "linear"}),
    ]
    files = []
    for i, (place, changes) in enumerate(shapes):
        file = tmp_path / f"{place}-{i}.yaml"
        shutil.copy(ship(place, **changes).path / "template.yaml", file)
        files.append(str(file))
    command = [lint, "--include-checks", "I", "--regions", "eu-central-1", "--", *files]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_the_parameters_take_what_push_prints_and_nothing_else(ship: Ship) -> None:
    for place in ("sagemaker", "lambda"):
        parameters = ship(place).yaml("template.yaml")["Parameters"]
        pattern = parameters["Image"]["AllowedPattern"]
        assert re.search(pattern, ECR)
        for wrong in (ECR.split("@")[0] + ":v1", f"docker.io/iris@{DIGEST}", ECR + "\n; x", f"x{ECR} y"):
            assert not re.search(pattern, wrong)
        for name, parameter in parameters.items():
            if name.endswith("RoleArn"):
                assert re.search(parameter["AllowedPattern"], ROLE)
            assert "Default" not in parameter


def test_a_new_version_on_sagemaker_is_tried_first_and_rolled_back_by_alarms(ship: Ship) -> None:
    resources = ship("sagemaker", desired=SLO, canary="20").yaml("template.yaml")["Resources"]
    rollout = resources["Endpoint"]["Properties"]["DeploymentConfig"]
    routing = rollout["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert routing["CanarySize"] == {"Type": "CAPACITY_PERCENT", "Value": 50}  # one of two machines
    alarms = {one["AlarmName"] for one in rollout["AutoRollbackConfiguration"]["Alarms"]}
    made = {name: one["Properties"] for name, one in resources.items() if one["Type"] == "AWS::CloudWatch::Alarm"}
    assert alarms == {one["AlarmName"] for one in made.values()} == {"iris-errors", "iris-latency"}
    assert made["LatencyAlarm"]["Threshold"] == 50_000  # microseconds
    assert made["LatencyAlarm"]["ExtendedStatistic"] == "p99"
    assert made["ErrorsAlarm"]["Threshold"] == 0.001
    assert resources["Endpoint"]["DependsOn"] == ["ErrorsAlarm", "LatencyAlarm"]
    scaling = resources["Scaling"]["Properties"]["TargetTrackingScalingPolicyConfiguration"]
    assert scaling["TargetValue"] == pytest.approx(30 / 0.00101, abs=1)
    alone = ship("sagemaker", min_instances="1").yaml("template.yaml")["Resources"]["Endpoint"]["Properties"]
    routing = alone["DeploymentConfig"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert routing["Type"] == "ALL_AT_ONCE"


def test_the_json_of_the_api_says_what_the_template_says(ship: Ship) -> None:
    folder = ship("sagemaker", desired=SLO)
    resources = {name: one["Properties"] for name, one in folder.yaml("template.yaml")["Resources"].items()}
    model, config, endpoint = (folder.json(f"cli/{name}.json") for name in ("model", "endpoint-config", "endpoint"))
    assert model["PrimaryContainer"]["Environment"] == resources["Model"]["PrimaryContainer"]["Environment"]
    assert model["PrimaryContainer"]["Image"] == "SET_IMAGE"
    (variant,), (same,) = config["ProductionVariants"], resources["Config"]["ProductionVariants"]
    assert {**variant, "ModelName": ""} == {**same, "ModelName": ""}
    assert endpoint["DeploymentConfig"] == resources["Endpoint"]["DeploymentConfig"]
    assert folder.json("cli/alarm-errors.json") == resources["ErrorsAlarm"]
    assert folder.json("cli/scalable-target.json") == resources["Scaled"]


def test_a_serverless_endpoint_has_neither_machines_nor_scaling_nor_blue_and_green(ship: Ship) -> None:
    folder = ship("sagemaker", kind="serverless")
    resources = folder.yaml("template.yaml")["Resources"]
    assert set(resources) == {"Model", "Config", "Endpoint", "ErrorsAlarm"}
    (variant,) = resources["Config"]["Properties"]["ProductionVariants"]
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": 1024, "MaxConcurrency": 61}
    assert "DeploymentConfig" not in resources["Endpoint"]["Properties"]
    assert not (folder.path / "cli/scalable-target.json").exists()


def test_a_new_version_of_the_function_is_published_for_each_image_and_moved_by_codedeploy(ship: Ship) -> None:
    resources = ship("lambda", desired=SLO).yaml("template.yaml")["Resources"]
    function = resources["Function"]["Properties"]
    assert function["PackageType"] == "Image"
    assert function["ImageConfig"] == {"Command": ["lambda"]}
    assert "${Image}" in resources["Published"]["Properties"]["Description"]["Fn::Sub"]
    assert resources["Published"]["UpdateReplacePolicy"] == "Retain"
    assert resources["Live"]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]["DeploymentGroupName"] == {"Ref": "Rollout"}
    group = resources["Rollout"]["Properties"]
    assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaCanary10Percent5Minutes"
    assert group["AlarmConfiguration"]["Alarms"] == [
        {"Name": {"Ref": name}} for name in ("FailedAlarm", "ErrorsAlarm", "LatencyAlarm")
    ]
    assert resources["LatencyAlarm"]["Properties"]["Threshold"] == 50  # milliseconds
    assert resources["Address"]["Properties"]["AuthType"] == "AWS_IAM"
    assert not any(one["Type"] == "AWS::Lambda::Permission" for one in resources.values())


CLOUD_RUN = {
    "": {"apiVersion", "kind", "metadata", "spec"},
    "spec": {"template", "traffic"},
    "spec.template": {"metadata", "spec"},
    "spec.template.spec": {
        "containerConcurrency",
        "timeoutSeconds",
        "serviceAccountName",
        "containers",
        "volumes",
        "enableServiceLinks",
    },
    "spec.template.spec.containers": {
        "name",
        "image",
        "ports",
        "env",
        "resources",
        "startupProbe",
        "readinessProbe",
        "livenessProbe",
        "volumeMounts",
        "securityContext",
        "imagePullPolicy",
    },
    "spec.template.spec.volumes": {"name", "secret", "emptyDir"},
    "spec.traffic": {"revisionName", "percent", "tag"},
}
"""Which fields a service may have. Source: Cloud Run's YAML reference, Knative's serving API."""


def _strict(value: Any, path: str = "") -> None:
    for one in value if isinstance(value, list) else [value]:
        if path in CLOUD_RUN:
            assert set(one) <= CLOUD_RUN[path], path
            for key, inner in one.items():
                _strict(inner, f"{path}.{key}".strip("."))


@pytest.mark.parametrize("place", ["cloudrun", "knative"])
def test_a_service_has_the_fields_that_there_are_and_shares_its_requests(ship: Ship, place: str) -> None:
    options = {"access": "token", "service_account": "a@b.iam.gserviceaccount.com"} if place == "cloudrun" else {}
    folder = ship(place, canary="25", **options)
    first, canary = folder.yaml("service.yaml"), folder.yaml("canary.yaml")
    for service in (first, canary):
        _strict(service)
        assert sum(one["percent"] for one in service["spec"]["traffic"]) == 100
        (container,) = service["spec"]["template"]["spec"]["containers"]
        assert container["image"] == "SET_IMAGE"
        assert not {"PORT", "K_SERVICE"} & {one["name"] for one in container["env"]}
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted <= {volume["name"] for volume in service["spec"]["template"]["spec"]["volumes"]}
    assert first["spec"]["template"] == canary["spec"]["template"]
    assert canary["spec"]["traffic"] == [
        {"revisionName": "SET_STABLE", "percent": 75},
        {"revisionName": "iris-SET_RELEASE", "percent": 25, "tag": "canary"},
    ]


def test_the_token_of_cloud_run_is_a_mounted_secret_or_iam_guards_the_door(ship: Ship) -> None:
    def spec(**options: str) -> Any:
        return ship("cloudrun", **options).yaml("service.yaml")["spec"]["template"]["spec"]

    guarded = spec()
    assert {"name": "AUTODEPLOY_AUTH", "value": "off"} in guarded["containers"][0]["env"]
    assert "volumes" not in guarded
    asking = spec(access="token")
    (container,) = asking["containers"]
    file = next(one["value"] for one in container["env"] if one["name"] == "AUTODEPLOY_TOKEN_FILE")
    assert not any(one["name"] == "AUTODEPLOY_AUTH" for one in container["env"])
    (mount,), (volume,) = container["volumeMounts"], asking["volumes"]
    (item,) = volume["secret"]["items"]
    assert file == f"{mount['mountPath']}/{item['path']}"
    assert volume["secret"]["secretName"] == "iris-token"


def test_a_pod_of_knative_reads_its_token_without_a_group_and_scales_with_the_slo(ship: Ship) -> None:
    template = ship("knative", desired=SLO).yaml("service.yaml")["spec"]["template"]
    secret = next(volume["secret"] for volume in template["spec"]["volumes"] if "secret" in volume)
    assert secret["defaultMode"] == 0o444
    assert template["metadata"]["annotations"]["autoscaling.knative.dev/target"] == "12"
    assert template["spec"]["containerConcurrency"] == 24
    (container,) = template["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert "lifecycle" not in container


def test_azure_is_told_the_routes_and_waits_for_a_start(ship: Ship) -> None:
    folder = ship("azureml", desired={**SLO, "settings": {"request_timeout_s": 500.0}}, endpoint="iris-2")
    deployment = folder.yaml("deployment.yml")
    routes = deployment["environment"]["inference_config"]
    assert {name: one["path"] for name, one in routes.items()} == {
        "liveness_route": "/livez",
        "readiness_route": "/readyz",
        "scoring_route": "/predict",
    }
    assert {one["port"] for one in routes.values()} == {int(deployment["environment_variables"]["PORT"])}
    assert deployment["endpoint_name"] == folder.yaml("endpoint.yml")["name"] == "iris-2"
    assert deployment["request_settings"] == {
        "request_timeout_ms": 180_000,
        "max_concurrent_requests_per_instance": 12,
    }
    assert deployment["liveness_probe"]["initial_delay"] == 30


def test_vertex_is_told_paths_that_the_image_has(ship: Ship) -> None:
    folder = ship("vertex", desired={"workers": 3})
    container, machine = folder.yaml("container.flags"), folder.yaml("machine.flags")
    assert container["--container-predict-route"] == "/v1/models/iris:predict"
    assert container["--container-env-vars"]["AUTODEPLOY_WORKERS"] == "3"
    assert machine["--machine-type"] == "e2-standard-4"
    assert folder.json("request.json").keys() == {"instances", "parameters"}
    assert len(folder.json("response.json")["predictions"]) == len(folder.json("request.json")["instances"])
