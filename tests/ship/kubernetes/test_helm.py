"""`ship helm`: the chart gives what kustomize gives, whatever its values, and refuses values that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from clusters import Make, Ship, helm, kustomized, objects_of, one_of, rejected

from autodeploy_magic.ship.kubernetes.checks import faults
from autodeploy_magic.ship.kubernetes.kustomize import Kubernetes

OURS = ("app.kubernetes.io/managed-by", "helm.sh/chart")
"""Labels that a chart has besides."""


def rendered(folder: Path, *words: str, namespace: str = "iris") -> list[dict[str, Any]]:
    run = helm("template", "iris", str(folder), "--namespace", namespace, *words)
    assert run.returncode == 0, run.stderr
    return objects_of(run.stdout)


def same(value: Any) -> Any:
    """A value in which neither the order of variables nor labels of Helm's matter, nor what is left empty."""
    if isinstance(value, dict):
        return {key: same(each) for key, each in value.items() if key not in OURS and each not in ({}, None)}
    if isinstance(value, list):
        if all(isinstance(each, dict) and "name" in each for each in value):
            value = sorted(value, key=lambda each: str(each["name"]))
        return [same(each) for each in value]
    return value


def by_kind(objects: list[dict[str, Any]]) -> dict[tuple[str, str], Any]:
    return {(each["kind"], each["metadata"]["name"]): same(each) for each in objects}


CASES: dict[str, dict[str, Any]] = {
    "usual": {},
    "ingress": {"host": "iris.example.com", "slo": "p99<50ms, memory<500MB"},
    "keda": {"scaling": "keda", "storage": "memory", "cpu": "2", "slo": "off", "namespace": "ml"},
    "gateway": {
        "host": "iris.example.com",
        "ingress": "gateway",
        "gateway": "infra/public",
        "desired": {"grpc": True, "settings": {"otlp_endpoint": "http://traces:4317", "record_drop": "a$(B),c"}},
    },
    "fixed": {"scaling": "none", "monitoring": "no", "replicas": "3", "desired": {"settings": {"hosts": "*"}}},
}


@pytest.mark.parametrize("case", CASES)
def test_the_chart_gives_what_production_is_in_kustomize(ship: Ship, make: Make, tmp_path: Path, case: str) -> None:
    cargo, chart, _ = ship("helm", **CASES[case])
    place = tmp_path / "kustomize"
    place.mkdir()
    Kubernetes().write(make("kubernetes", **CASES[case]), place, lambda _: None)
    namespace = cargo.text("namespace") or "iris"
    objects = rendered(chart, namespace=namespace)
    assert by_kind(objects) == by_kind(kustomized(place / "overlays/production"))
    assert not rejected(objects)
    assert not list(faults(objects))


def test_helm_has_nothing_against_it(ship: Ship) -> None:
    _, chart, _ = ship("helm", host="iris.example.com")
    run = helm("lint", "--strict", str(chart))
    assert run.returncode == 0, run.stdout + run.stderr
    assert "WARNING" not in run.stdout


VALUES: dict[str, list[str]] = {
    "another name": ["fullnameOverride=other", "replicas.min=4"],
    "a canary": ["canary.enabled=true", "canary.version=v2", f"canary.image.digest=sha256:{'7' * 64}"],
    "a canary by its tag": ["canary.enabled=true", "canary.version=v2", "canary.image.tag=v2"],
    "labels for the operator": ["monitoring.labels.release=prometheus", "labels.team=ml"],
    "placed": ["nodeSelector.disk=ssd", "tolerations[0].key=gpu", "tolerations[0].operator=Exists"],
    "pulled": ["imagePullSecrets[0].name=registry", "image.pullPolicy=Always"],
    "all off": [
        "podDisruptionBudget.enabled=false",
        "networkPolicy.enabled=false",
        "monitoring.enabled=false",
        "scaling.type=none",
    ],
    "by requests": ["scaling.type=keda", "scaling.requestsPerSecond=50"],
    "outside": ["route.type=gateway", "route.host=a.example.com", "route.gateway.name=public"],
    "a secret of theirs": ["token.secret=vault", "token.key=bearer"],
}


@pytest.mark.parametrize("name", VALUES)
def test_other_values_give_good_objects(ship: Ship, name: str) -> None:
    _, chart, _ = ship("helm")
    objects = rendered(chart, *(word for value in VALUES[name] for word in ("--set", value)))
    assert not rejected(objects)
    assert not list(faults(objects))
    kinds = {each["kind"] for each in objects}
    assert {"Deployment", "Service", "ServiceAccount"} <= kinds
    if name.startswith("a canary"):
        [canary] = [each for each in objects if each["metadata"]["name"] == "iris-canary"]
        [container] = canary["spec"]["template"]["spec"]["containers"]
        assert container["image"].endswith("sha256:" + "7" * 64 if "digest" in VALUES[name][2] else ":v2")
        labels = canary["spec"]["template"]["metadata"]["labels"]
        assert labels["app.kubernetes.io/version"] == "v2"
        [stable] = [each for each in objects if each["kind"] == "Deployment" and each is not canary]
        assert stable["metadata"]["labels"]["app.kubernetes.io/version"] == "v1"
    if name == "all off":
        assert kinds == {"Deployment", "Service", "ServiceAccount"}
    if name == "a secret of theirs":
        [endpoint] = one_of(objects, "ServiceMonitor")["spec"]["endpoints"]
        assert endpoint["authorization"]["credentials"] == {"name": "vault", "key": "bearer"}


REFUSED = [
    ["--set-string", "replicas.min=two"],
    ["--set", "replicas.min=0"],
    ["--set", "replica.min=2"],
    ["--set", "scaling.type=magic"],
    ["--set", "resources.requests.cpu=5potatoes"],
    ["--set", "env.OMP_NUM_THREADS=3"],  # a number: Kubernetes takes texts alone
    ["--set-string", "env.AUTODEPLOY_TOKEN=hunter2"],
    ["--set", "image.digest=latest"],
    ["--set", "image.digest=,image.tag="],
    ["--set", "route.type=ingress"],  # without a host
    ["--set", "token.value=hunter2"],
    ["--set", "nonsense=1"],
    ["--set-string", "labels.note=not a label"],
]


@pytest.mark.parametrize("words", REFUSED, ids=lambda words: words[1])
def test_values_that_cannot_be_are_refused(ship: Ship, words: list[str]) -> None:
    _, chart, _ = ship("helm")
    run = helm("template", "iris", str(chart), *words)
    assert run.returncode != 0
    assert "values don't meet the specifications of the schema" in run.stderr


def test_a_value_is_no_template(ship: Ship) -> None:
    words = '{{ .Release.Name }} {{ fail "run" }} {{`x`}} $(HOME) \'q\' "q" \\ # : no'
    _, chart, _ = ship("helm", version={"note": words}, desired={"settings": {"record_drop": words}})
    objects = rendered(chart)
    deployment = one_of(objects, "Deployment")
    assert deployment["metadata"]["annotations"]["autodeploy-magic/note"] == words
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert env["AUTODEPLOY_RECORD_DROP"] == words.replace("$(", "$$(")  # what Kubernetes makes "$(" of
    assert "{{ $labels.instance }}" in chart.joinpath("values.yaml").read_text("utf-8") or "{{ $labels" in str(objects)


def test_the_commands_of_the_readme_name_the_image_that_was_pushed(ship: Ship) -> None:
    _, folder, _ = ship("helm", reference="localhost/iris:v1")
    readme = (folder / "README.md").read_text("utf-8")
    installs = [line for line in readme.splitlines() if line.startswith("helm") and " iris ." in line]
    fresh = [line for line in installs if "--reuse-values" not in line]
    assert fresh
    named = " --set image.repository=$REPOSITORY --set image.digest=$DIGEST"
    assert all(named in line for line in fresh)  # one without goes back to a tag that no node can pull
    told = fresh[0].replace("$REPOSITORY", "ghcr.io/me/iris").replace("$DIGEST", "sha256:" + "a" * 64)
    done = helm(*told.partition(" | ")[0].removeprefix("helm ").replace(" . ", f" {folder} ").split())
    assert done.returncode == 0, done.stderr
    [container] = one_of(objects_of(done.stdout), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "ghcr.io/me/iris@sha256:" + "a" * 64


def test_the_notes_tell_how_the_token_gets_there(ship: Ship) -> None:
    _, chart, _ = ship("helm", host="iris.example.com")
    run = helm("install", "iris", str(chart), "--dry-run=client", "--namespace", "ml")
    assert run.returncode == 0, run.stderr
    notes = run.stdout.partition("NOTES:")[2]
    assert "kubectl -n ml create secret generic iris-token --from-file=token=token" in notes
    assert "https://iris.example.com" in notes


def test_no_value_stands_in_a_template(ship: Ship) -> None:
    cargo, chart, _ = ship("helm", host="iris.example.com", version={"note": "an unlikely note"})
    for file in (chart / "templates").iterdir():
        text = file.read_text("utf-8")
        assert not [word for word in ("iris", "example.com", "unlikely", cargo.reference) if word in text], file.name
    assert yaml.safe_load((chart / "Chart.yaml").read_text("utf-8"))["appVersion"] == "v1"
