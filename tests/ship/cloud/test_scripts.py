"""The scripts, run with stand-ins for the clouds' commands: what they call, twice, and with failures on the way."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable

import pytest
import yaml
from clouds import DIGEST, ECR, NASTY, ROLE, Folder, Tools

Ship = Callable[..., Folder]

ENDPOINT = "projects/1/locations/europe-west1/endpoints/7"
WHERE = {
    "sagemaker": {"REGION": "eu-central-1", "ROLE_ARN": ROLE, "IMAGE": ECR},
    "lambda": {"REGION": "eu-central-1", "EXECUTION_ROLE_ARN": ROLE, "CODEDEPLOY_ROLE_ARN": ROLE, "IMAGE": ECR},
    "vertex": {"PROJECT": "proj", "REGION": "europe-west1", "IMAGE": f"host.example/p/iris@{DIGEST}"},
    "azureml": {"RESOURCE_GROUP": "rg", "WORKSPACE": "ws", "IMAGE": f"reg.azurecr.io/iris@{DIGEST}"},
    "cloudrun": {"PROJECT": "proj", "REGION": "europe-west1", "IMAGE": f"host.example/p/iris@{DIGEST}"},
    "knative": {"NAMESPACE": "ml", "IMAGE": f"host.example/p/iris@{DIGEST}"},
}
TOOL = {
    "sagemaker": "aws",
    "lambda": "aws",
    "vertex": "gcloud",
    "azureml": "az",
    "cloudrun": "gcloud",
    "knative": "kubectl",
}


def _lines(tools: Tools) -> list[str]:
    return [shlex.join(call) for call in tools.calls]


def _rules(tools: Tools, place: str) -> None:
    """A cloud that remembers what was made in it."""
    on, off = {"made": "yes"}, {"made": ""}
    if place == "lambda":
        tools.rule(r"describe-stacks.*OutputValue", "https://x.lambda-url.on.aws/\n")
    if place in ("lambda", "sagemaker"):
        tools.rule(r"describe-stacks", f"{ECR}\n", when=on)
        tools.rule(r"describe-stacks", code=254)
        tools.rule(r"cloudformation deploy", sets=on)
        tools.rule(r"cloudformation delete-stack", sets=off)
        tools.rule(r"describe-(model|endpoint-config|endpoint) ", "old\n", when=on)
        tools.rule(r"describe-(model|endpoint-config|endpoint) ", code=254)
        tools.rule(r"sagemaker create-endpoint ", sets=on)
    if place == "vertex":
        tools.rule(r"endpoints list", f"{ENDPOINT}\n", when=on)
        tools.rule(r"endpoints create", sets=on)
        tools.rule(r"models list .*labels", "m1\tiris-v1-1\nm2\tmy-iris-v1-1\nm3\tiris-v2-7\n")
        tools.rule(r"models list", "projects/1/models/9\n", when={"model": "yes"})
        tools.rule(r"models upload", sets={"model": "yes"})
        tools.rule(r"endpoints delete", sets=off)
    if place == "azureml":
        tools.rule(r"online-endpoint list", "iris\n", when=on)
        tools.rule(r"online-endpoint create", sets=on)
        tools.rule(r"online-endpoint delete", sets=off)
        tools.rule(r"online-deployment show", "/subscriptions/1/d\n")
        tools.rule(r"autoscale rule list", "2\n", when={"rules": "yes"})
        tools.rule(r"autoscale rule list", "0\n")
        tools.rule(r"scale in", sets={"rules": "yes"})
        tools.rule(r"monitor autoscale list", "iris-blue\nother\n")
    if place == "cloudrun":
        tools.rule(r"services list", "iris\n", when=on)
        tools.rule(r"services replace", sets=on)
        tools.rule(r"services describe iris .*flatten", "0\t\n90\tiris-v0-1\n10\tiris-v0-2\n", when=on)
        tools.rule(r"services describe iris", code=1, when=off)
        tools.rule(r"services delete", sets=off)
        tools.rule(r"revisions list", "iris-v0-2\niris-v0-1\n")
    if place == "knative":
        tools.rule(r"get services", "90 iris-v0-1\n10 iris-v0-2\n", when=on)
        tools.rule(r"apply", sets=on)
        tools.rule(r"get revisions", "iris-v0-1\niris-v0-2\n")
    tools.install(TOOL[place])
    tools.reset(made="", model="", rules="")


def test_sagemaker_is_a_stack_with_the_image_and_the_role(ship: Ship, tools: Tools) -> None:
    _rules(tools, "sagemaker")
    done = tools.run(ship("sagemaker"), "deploy.sh", **WHERE["sagemaker"])
    assert done.returncode == 0, done.stderr
    query = "Stacks[0].Parameters[?ParameterKey=='Image'].ParameterValue | [0]"
    stack = "--region eu-central-1 --stack-name iris"
    deploy = (
        f"aws cloudformation deploy {stack} --template-file template.yaml --no-fail-on-empty-changeset "
        f"--parameter-overrides Image={ECR} {shlex.quote('RoleArn=' + ROLE)} "
        "--tags managed-by=autodeploy-magic deployment=iris version=v1"
    )
    assert _lines(tools) == [
        f"aws cloudformation describe-stacks {stack} --query {shlex.quote(query)} --output text",
        deploy,
        "aws sagemaker wait endpoint-in-service --region eu-central-1 --endpoint-name iris",
    ]
    assert "To go back" not in done.stderr
    newer = ECR.replace("ab" * 32, "cd" * 32)
    done = tools.run(ship("sagemaker"), "deploy.sh", **{**WHERE["sagemaker"], "IMAGE": newer})
    assert f"To go back: IMAGE={ECR} sh deploy.sh" in done.stderr


def test_sagemaker_without_cloudformation_fills_the_json_in_and_makes_what_is_missing(ship: Ship, tools: Tools) -> None:
    _rules(tools, "sagemaker")
    folder = ship("sagemaker", desired={"slo": "p99<50ms"})
    done = tools.run(folder, "create.sh", **WHERE["sagemaker"])
    assert done.returncode == 0, done.stderr
    asked = [" ".join(call[1:3]) for call in tools.calls]
    assert asked == [
        "sagemaker describe-model",
        "sagemaker create-model",
        "sagemaker describe-endpoint-config",
        "sagemaker create-endpoint-config",
        "cloudwatch put-metric-alarm",
        "cloudwatch put-metric-alarm",
        "sagemaker describe-endpoint",
        "sagemaker create-endpoint",
        "sagemaker wait",
        "application-autoscaling register-scalable-target",
        "application-autoscaling put-scaling-policy",
    ]
    files = {name: json.loads(text) for name, text in tools.state()["files"].items()}
    name = files["model.json"]["ModelName"]
    assert re.fullmatch(r"iris-v1-[0-9]+", name)
    assert files["model.json"]["PrimaryContainer"]["Image"] == ECR
    assert files["model.json"]["ExecutionRoleArn"] == ROLE
    assert files["endpoint-config.json"]["ProductionVariants"][0]["ModelName"] == name
    assert not any("SET_" in text for text in tools.state()["files"].values())
    tools.forget()
    done = tools.run(folder, "create.sh", **WHERE["sagemaker"])
    again = [" ".join(call[1:3]) for call in tools.calls]
    assert "sagemaker create-model" not in again
    assert "sagemaker update-endpoint" in again  # what serves there was made of something else
    assert not list((tools.path / "tmp").iterdir())


def test_lambda_is_a_stack_with_the_image_and_both_roles(ship: Ship, tools: Tools) -> None:
    _rules(tools, "lambda")
    done = tools.run(ship("lambda"), "deploy.sh", **WHERE["lambda"])
    assert done.returncode == 0, done.stderr
    (deploy,) = (call for call in tools.calls if call[2] == "deploy")
    assert deploy[deploy.index("--parameter-overrides") + 1 : deploy.index("--tags")] == [
        f"Image={ECR}",
        f"ExecutionRoleArn={ROLE}",
        f"CodeDeployRoleArn={ROLE}",
    ]
    assert "at https://x.lambda-url.on.aws/" in done.stderr


def test_vertex_gives_an_empty_endpoint_all_requests_and_a_second_version_a_share(ship: Ship, tools: Tools) -> None:
    _rules(tools, "vertex")
    folder = ship("vertex", canary="25")
    done = tools.run(folder, "deploy.sh", **WHERE["vertex"])
    assert done.returncode == 0, done.stderr
    lines = _lines(tools)
    place = "--project proj --region europe-west1"
    (upload,) = (line for line in lines if " models upload " in line)
    release = re.search(r"--display-name (iris-v1-[0-9]+) ", upload)
    assert release is not None
    assert upload == (
        f"gcloud ai models upload {place} --display-name {release[1]} --container-image-uri {WHERE['vertex']['IMAGE']} "
        "--flags-file container.flags --labels managed_by=autodeploy-magic,deployment=iris,version=v1"
    )
    assert lines[-1] == (
        f"gcloud ai endpoints deploy-model {ENDPOINT} {place} --model projects/1/models/9 --display-name {release[1]} "
        "--traffic-split 0=100 --flags-file machine.flags"
    )
    before = {"match": "endpoints describe", "code": 0, "when": {}, "sets": {}}
    tools.rules.insert(0, {**before, "out": "55\tiris-v0-1\n"})
    tools.reset(made="yes", model="yes")
    assert tools.run(folder, "deploy.sh", **WHERE["vertex"]).returncode == 0
    assert "--traffic-split 0=25,55=75" in _lines(tools)[-1]
    tools.rules[0]["out"] = f"55\tiris-v0-1\n66\t{release[1]}\n"
    tools.reset(made="yes", model="yes")
    again = tools.run(folder, "deploy.sh", **WHERE["vertex"])
    assert again.returncode == 0
    assert "is on the endpoint already" in again.stderr
    assert not any("deploy-model" in line for line in _lines(tools))
    tools.forget()
    assert tools.run(folder, "promote.sh", **WHERE["vertex"]).returncode == 0
    assert [line.split(ENDPOINT)[1] for line in _lines(tools)[-2:]] == [
        f" {place} --traffic-split 66=100",
        f" {place} --deployed-model-id 55",
    ]
    tools.forget()
    assert tools.run(folder, "rollback.sh", **WHERE["vertex"]).returncode == 0
    assert [line.split(ENDPOINT)[1] for line in _lines(tools)[-2:]] == [
        f" {place} --traffic-split 55=100",
        f" {place} --deployed-model-id 66",
    ]
    tools.rules[0]["out"] = "55\tiris-v0-1\n77\tiris-v0-2\n"
    tools.reset(made="yes", model="yes")
    third = tools.run(folder, "deploy.sh", **WHERE["vertex"])
    assert third.returncode == 2
    assert "two versions are on the endpoint already" in third.stderr


def test_azure_goes_into_the_free_one_of_blue_and_green(ship: Ship, tools: Tools) -> None:
    _rules(tools, "azureml")
    folder = ship("azureml")
    done = tools.run(folder, "deploy.sh", **WHERE["azureml"])
    assert done.returncode == 0, done.stderr
    lines = _lines(tools)
    place = "--resource-group rg --workspace-name ws"
    (create,) = (line for line in lines if "online-deployment create" in line)
    release = re.search(r"tags.release=(v1-[0-9]+)", create)
    assert release is not None
    assert create == (
        "az ml online-deployment create --name blue --endpoint-name iris --file deployment.yml "
        f"--set environment.image={WHERE['azureml']['IMAGE']} --set tags.release={release[1]} --output none {place}"
    )
    assert lines[-1] == f"az ml online-endpoint update --name iris --traffic blue=100 --output none {place}"
    assert len([line for line in lines if "rule create" in line]) == 2
    tools.rules.insert(0, {"match": "online-deployment list", "code": 0, "when": {}, "sets": {}, "out": "blue\tv0-1\n"})
    tools.reset(made="yes", rules="yes")
    assert tools.run(folder, "deploy.sh", **WHERE["azureml"]).returncode == 0
    lines = _lines(tools)
    assert any("online-deployment create --name green" in line for line in lines)
    assert "--traffic 'green=10 blue=90'" in lines[-1]
    tools.rules[0]["out"] = f"blue\tv0-1\ngreen\t{release[1]}\n"
    tools.reset(made="yes", rules="yes")
    assert tools.run(folder, "deploy.sh", **WHERE["azureml"]).returncode == 0
    assert not any("create --name" in line for line in _lines(tools) if "online" in line)
    tools.forget()
    assert tools.run(folder, "promote.sh", **WHERE["azureml"]).returncode == 0
    asked = [line for line in _lines(tools) if "list" not in line]
    assert "--traffic 'green=100 blue=0'" in asked[0]
    assert "monitor autoscale delete --resource-group rg --name iris-blue" in asked[1]
    assert "online-deployment delete --name blue" in asked[2]
    tools.forget()
    assert tools.run(folder, "rollback.sh", **WHERE["azureml"]).returncode == 0
    asked = [line for line in _lines(tools) if "list" not in line]
    assert "--traffic 'blue=100 green=0'" in asked[0]
    assert "online-deployment delete --name green" in asked[2]


@pytest.mark.parametrize("place", ["cloudrun", "knative"])
def test_a_service_gets_a_revision_with_all_requests_then_one_with_a_share(
    ship: Ship, tools: Tools, place: str
) -> None:
    _rules(tools, place)
    folder = ship(place)
    done = tools.run(folder, "deploy.sh", **WHERE[place])
    assert done.returncode == 0, done.stderr
    service = yaml.safe_load(tools.state()["files"]["service.yaml"])
    revision = service["spec"]["template"]["metadata"]["name"]
    assert re.fullmatch(r"iris-v1-[0-9]+", revision)
    assert service["spec"]["traffic"] == [{"revisionName": revision, "percent": 100}]
    assert service["spec"]["template"]["spec"]["containers"][0]["image"] == WHERE[place]["IMAGE"]
    assert tools.run(folder, "deploy.sh", **WHERE[place]).returncode == 0
    service = yaml.safe_load(tools.state()["files"]["service.yaml"])
    assert service["spec"]["template"]["metadata"]["name"] == revision
    assert service["spec"]["traffic"] == [
        {"revisionName": "iris-v0-1", "percent": 90},
        {"revisionName": revision, "percent": 10, "tag": "canary"},
    ]
    tools.forget()
    assert tools.run(folder, "rollback.sh", **WHERE[place]).returncode == 0
    assert "iris-v0-1" in _lines(tools)[-1]  # what has the most of them now, however new another is
    tools.forget()
    assert tools.run(folder, "promote.sh", **WHERE[place]).returncode == 0
    if place == "cloudrun":
        assert f"--to-revisions {revision}=100 --clear-tags" in _lines(tools)[-1]
    else:
        service = yaml.safe_load(tools.state()["files"]["service.yaml"])
        assert service["spec"]["traffic"] == [{"revisionName": revision, "percent": 100}]


@pytest.mark.parametrize("place", ["cloudrun", "knative"])
def test_what_was_promoted_goes_back_to_the_newest_of_the_others(ship: Ship, tools: Tools, place: str) -> None:
    _rules(tools, place)
    folder = ship(place)
    assert tools.run(folder, "deploy.sh", **WHERE[place]).returncode == 0
    service = yaml.safe_load(tools.state()["files"]["service.yaml"])
    here = service["spec"]["template"]["metadata"]["name"]
    alone = {"match": r"describe iris .*flatten|get services", "out": f"100 {here}\n"}
    tools.rules.insert(0, {**alone, "code": 0, "when": {}, "sets": {}})
    tools.reset(made="yes")
    assert tools.run(folder, "rollback.sh", **WHERE[place]).returncode == 0
    assert "iris-v0-2" in _lines(tools)[-1]
    tools.forget()
    assert tools.run(folder, "rollback.sh", STABLE="iris-v0-1", **WHERE[place]).returncode == 0
    assert "iris-v0-1" in _lines(tools)[-1]


def test_sagemaker_s_scaling_goes_before_its_endpoint(ship: Ship, tools: Tools) -> None:
    _rules(tools, "sagemaker")
    folder = ship("sagemaker")
    target = folder.json("cli/scalable-target.json")
    tools.rules.insert(
        0, {"match": "describe-scalable", "out": f"{target['ResourceId']}\n", "code": 0, "when": {}, "sets": {}}
    )
    tools.reset(made="yes")
    done = tools.run(folder, "delete.sh", **WHERE["sagemaker"])
    assert done.returncode == 0, done.stderr
    asked = [call[2] for call in tools.calls]
    assert asked.index("deregister-scalable-target") < asked.index("delete-endpoint")
    [gone] = [call for call in tools.calls if call[2] == "deregister-scalable-target"]
    assert {target[key] for key in ("ResourceId", "ScalableDimension", "ServiceNamespace")} <= set(gone)
    tools.rules.pop(0)
    tools.reset(made="")
    assert tools.run(folder, "delete.sh", **WHERE["sagemaker"]).returncode == 0
    assert "deregister-scalable-target" not in [call[2] for call in tools.calls]


@pytest.mark.parametrize("place", ["sagemaker", "lambda"])
def test_a_stack_is_given_a_digest_or_nothing_is_called(ship: Ship, tools: Tools, place: str) -> None:
    _rules(tools, place)
    tag = ECR.replace(f"@{DIGEST}", ":v1")
    done = tools.run(ship(place), "deploy.sh", **{**WHERE[place], "IMAGE": tag})
    assert (done.returncode, tools.calls) == (2, [])
    assert "takes a digest alone" in done.stderr
    both = ship(place, reference=f"{tag}@{DIGEST}")
    given = {name: value for name, value in WHERE[place].items() if name != "IMAGE"}
    assert tools.run(both, "deploy.sh", **given).returncode == 0
    assert f"Image={ECR}" in next(call for call in tools.calls if call[2] == "deploy")


def test_cloud_run_with_a_token_needs_its_secret_and_lets_callers_through(ship: Ship, tools: Tools) -> None:
    _rules(tools, "cloudrun")
    folder = ship("cloudrun", access="token")
    assert tools.run(folder, "deploy.sh", **WHERE["cloudrun"]).returncode == 0
    assert "--member allUsers --role roles/run.invoker" in _lines(tools)[-1]
    tools.rules.insert(0, {"match": "secrets describe", "code": 1, "when": {}, "sets": {}, "out": ""})
    tools.reset(made="")
    done = tools.run(folder, "deploy.sh", **WHERE["cloudrun"])
    assert done.returncode == 2
    assert "there is no secret iris-token" in done.stderr
    assert not any("replace" in line for line in _lines(tools))
    plain = ship("cloudrun")
    tools.rules.pop(0)
    tools.reset(made="")
    assert tools.run(plain, "deploy.sh", **WHERE["cloudrun"]).returncode == 0
    assert not any("allUsers" in line for line in _lines(tools))


@pytest.mark.parametrize("place", list(WHERE))
def test_a_call_that_fails_stops_the_script_there_and_says_how_to_go_on(ship: Ship, tools: Tools, place: str) -> None:
    """Questions whose "no" is an answer may fail; nothing that changes anything may be passed over."""
    folder = ship(place)
    _rules(tools, place)
    assert tools.run(folder, "deploy.sh", **WHERE[place]).returncode == 0
    whole = _lines(tools)
    stopped = 0
    places = sorted({1, 2, len(whole) // 2, len(whole)})
    for at in places:
        tools.fail_at = at
        tools.reset(made="", model="", rules="")
        done = tools.run(folder, "deploy.sh", **WHERE[place])
        if done.returncode == 0:
            assert "describe-stacks" in whole[at - 1]
            continue
        stopped += 1
        assert len(tools.calls) == at
        assert "stopped at: " in done.stderr
        assert "To go on: sh deploy.sh again" in done.stderr
        assert "sh teardown.sh" in done.stderr
        if at == len(whole) // 2:
            tools.fail_at = 0
            tools.forget()
            assert tools.run(folder, "deploy.sh", **WHERE[place]).returncode == 0  # and it does go on
    assert stopped >= len(places) - 1
    assert not list((tools.path / "tmp").iterdir())


@pytest.mark.parametrize("place", list(WHERE))
def test_taking_down_twice_does_no_harm(ship: Ship, tools: Tools, place: str) -> None:
    folder = ship(place)
    _rules(tools, place)
    tools.reset(made="yes", model="yes")
    done = tools.run(folder, "teardown.sh", **WHERE[place])
    assert done.returncode == 0, done.stderr
    assert any("delete" in line for line in _lines(tools))
    assert "stay" in done.stderr
    assert tools.run(folder, "teardown.sh", **WHERE[place]).returncode == 0


def test_the_models_of_a_deployment_whose_name_ends_alike_are_left_alone(ship: Ship, tools: Tools) -> None:
    _rules(tools, "vertex")
    assert tools.run(ship("vertex"), "teardown.sh", **WHERE["vertex"]).returncode == 0
    assert [call[4] for call in tools.calls if call[2:4] == ["models", "delete"]] == ["m1", "m3"]
    tools.rules.clear()
    tools.rule(r"list-models", "iris-v1-1\tmy-iris-v1-1\tiris-v2-7\n")
    tools.install("aws")
    tools.reset()
    done = tools.run(ship("sagemaker"), "delete.sh", **WHERE["sagemaker"])
    assert done.returncode == 0, done.stderr
    deleted = [call[-1] for call in tools.calls if call[2] == "delete-model"]
    assert deleted == ["iris-v1-1", "iris-v2-7"]


@pytest.mark.parametrize("place", list(WHERE))
def test_what_is_missing_is_said_before_anything_is_called(ship: Ship, tools: Tools, place: str) -> None:
    folder = ship(place)
    _rules(tools, place)
    for name in WHERE[place]:  # one at a time
        done = tools.run(folder, "deploy.sh", **{key: value for key, value in WHERE[place].items() if key != name})
        assert done.returncode == 2
        assert f"{name} is not set" in done.stderr
    local = tools.run(folder, "deploy.sh", **{**WHERE[place], "IMAGE": "iris:v1"})
    assert local.returncode == 2
    assert "on one machine alone" in local.stderr
    assert tools.calls == []
    (tools.path / "bin" / TOOL[place]).unlink()
    done = tools.run(folder, "deploy.sh", **WHERE[place])
    assert f"{TOOL[place]} is not installed" in done.stderr


@pytest.mark.parametrize("place", list(WHERE))
def test_whatever_the_environment_holds_is_one_argument_and_never_run(ship: Ship, tools: Tools, place: str) -> None:
    folder = ship(place)
    _rules(tools, place)
    for value in NASTY if place == "vertex" else NASTY[3:4]:  # all of them have the same check
        if re.search(r"[^A-Za-z0-9.:/@_-]", value):
            done = tools.run(folder, "deploy.sh", **{**WHERE[place], "IMAGE": f"registry.example.com/{value}"})
            assert done.returncode == 2
            assert tools.calls == []
    nasty = " ".join(NASTY)
    given = {name: nasty for name in WHERE[place] if name != "IMAGE"}
    tools.reset(made="", model="", rules="")
    tools.run(folder, "deploy.sh", **{**WHERE[place], **given})
    whole = [argument for call in tools.calls for argument in call]
    assert any(argument.removeprefix("RoleArn=") == nasty for argument in whole)
    assert not list(tools.path.rglob("pwned"))
    assert not list(folder.path.rglob("pwned"))


def test_the_environment_goes_before_the_settings_but_never_names_another_deployment(ship: Ship, tools: Tools) -> None:
    _rules(tools, "sagemaker")
    folder = ship("sagemaker", region="us-east-1", role_arn=ROLE, reference=ECR)
    newer = ECR.replace("ab" * 32, "cd" * 32)
    done = tools.run(folder, "deploy.sh", IMAGE=newer, NAME="other", VERSION="v9", STACK="mine")
    assert done.returncode == 0, done.stderr
    (deploy,) = (call for call in tools.calls if call[2] == "deploy")
    assert f"Image={newer}" in deploy
    assert deploy[deploy.index("--region") + 1] == "us-east-1"
    assert deploy[deploy.index("--stack-name") + 1] == "mine"
    assert "deployment=iris" in deploy
    assert "version=v1" in deploy


@pytest.mark.parametrize(
    ("place", "script", "tool"),
    [("sagemaker", "invoke.sh", "aws"), ("lambda", "invoke.sh", "aws"), ("vertex", "predict.sh", "gcloud")],
)
def test_the_example_is_sent_as_it_lies_there(ship: Ship, tools: Tools, place: str, script: str, tool: str) -> None:
    _rules(tools, place)
    tools.reset(made="yes")
    folder = ship(place)
    tools.run(folder, script, **WHERE[place])
    sent = [argument for call in tools.calls for argument in call if re.search(r"(request|event)\.json$", argument)]
    assert sent
    assert all((folder.path / one.removeprefix("fileb://")).is_file() for one in sent)


def test_cloud_run_is_asked_with_a_token_that_is_on_no_command_line(ship: Ship, tools: Tools) -> None:
    _rules(tools, "cloudrun")
    tools.rules.insert(0, {"match": "secrets versions access", "code": 0, "when": {}, "sets": {}, "out": "s3cr3t"})
    tools.rules.insert(0, {"match": "status.url", "code": 0, "when": {}, "sets": {}, "out": "https://x.run.app\n"})
    tools.install("curl")
    tools.reset(made="yes")
    done = tools.run(ship("cloudrun", access="token"), "invoke.sh", **WHERE["cloudrun"])
    assert done.returncode == 0, done.stderr
    (curl,) = (call for call in tools.calls if call[0] == "curl")
    assert curl[-1] == "https://x.run.app/predict"
    assert not any("s3cr3t" in argument for argument in curl)
