"""Our own checks: good manifests with one fault each, which the check it is meant for finds."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from clusters import Make, Ship, one_of, rejected

from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.kubernetes import checks, whole
from autodeploy_magic.ship.kubernetes.quantities import cores, mebibytes, quantity

Objects = list[dict[str, Any]]


@pytest.fixture(scope="module")
def good(make: Make) -> Objects:
    return whole.production(make(host="iris.example.com", desired={"grpc": True}), "iris")


def pod(objects: Objects) -> dict[str, Any]:
    found: dict[str, Any] = one_of(objects, "Deployment")["spec"]["template"]
    return found


def container(objects: Objects) -> dict[str, Any]:
    found: dict[str, Any] = pod(objects)["spec"]["containers"][0]
    return found


def spec(objects: Objects, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = one_of(objects, kind)["spec"]
    return found


def put(place: dict[str, Any], **values: Any) -> None:
    place.update(values)


def env(objects: Objects, name: str, value: Any) -> None:
    variables = container(objects)["env"]
    found = [each for each in variables if each["name"] == name]
    if found:
        found[0]["value"] = value
    else:
        variables.append({"name": name, "value": value})


def fake_secret(objects: Objects) -> None:
    objects.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "t", "namespace": "iris"}, "data": {}})


FAULTS: dict[str, tuple[Callable[[Objects], object], str]] = {
    "a quantity that is none": (
        lambda o: put(container(o)["resources"]["requests"], cpu="5potatoes"),
        "cpu cannot be '5potatoes'",
    ),
    "a size that is none": (lambda o: put(pod(o)["spec"]["volumes"][0]["emptyDir"], sizeLimit="1Zi"), "no quantity"),
    "nothing": (lambda o: put(container(o)["resources"]["requests"], cpu="0"), "cpu is nothing"),
    "more than the limit": (
        lambda o: put(container(o)["resources"]["requests"], memory="1Ti"),
        "asks for more memory than its limit",
    ),
    "no limit": (lambda o: container(o)["resources"].pop("limits"), "limit of memory is missing"),
    "a pod without its label": (
        lambda o: pod(o)["metadata"]["labels"].pop("app.kubernetes.io/instance"),
        "Deployment iris: its selector finds no pod",
    ),
    "a service of another": (lambda o: put(spec(o, "Service")["selector"], a="b"), "Service iris: its selector finds"),
    "a budget of another": (
        lambda o: put(spec(o, "PodDisruptionBudget")["selector"]["matchLabels"], a="b"),
        "PodDisruptionBudget iris: its selector finds nothing",
    ),
    "a policy of another": (
        lambda o: put(spec(o, "NetworkPolicy")["podSelector"]["matchLabels"], a="b"),
        "NetworkPolicy iris: its selector finds nothing",
    ),
    "a monitor of another": (
        lambda o: put(spec(o, "ServiceMonitor")["selector"]["matchLabels"], a="b"),
        "ServiceMonitor iris: its selector finds nothing",
    ),
    "spread among others": (
        lambda o: put(pod(o)["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"], a="b"),
        "spread among other pods",
    ),
    "a port that nobody has": (
        lambda o: put(spec(o, "Service")["ports"][0], targetPort="web"),
        "no container has the port web",
    ),
    "a policy's port": (
        lambda o: put(spec(o, "NetworkPolicy")["ingress"][0]["ports"][0], port=8080),
        "no container has the port 8080",
    ),
    "a probe's port": (
        lambda o: put(container(o)["livenessProbe"]["httpGet"], port="web"),
        "livenessProbe asks port web",
    ),
    "a port's name": (lambda o: put(container(o)["ports"][0], name="HTTP!"), "the port's name 'HTTP!' is not valid"),
    "a scrape's port": (lambda o: put(spec(o, "ServiceMonitor")["endpoints"][0], port="web"), "port named web"),
    "a route's service": (
        lambda o: put(spec(o, "Ingress")["rules"][0]["http"]["paths"][0]["backend"]["service"], name="rose"),
        "there is no Service rose",
    ),
    "a route's port": (
        lambda o: put(spec(o, "Ingress")["rules"][0]["http"]["paths"][0]["backend"]["service"], port={"name": "web"}),
        "Service iris has no port web",
    ),
    "an autoscaler of nothing": (
        lambda o: put(spec(o, "HorizontalPodAutoscaler")["scaleTargetRef"], name="rose"),
        "there is no Deployment rose",
    ),
    "no range": (lambda o: put(spec(o, "HorizontalPodAutoscaler"), minReplicas=11), "from 11 to 10 replicas"),
    "two who say how many": (lambda o: put(spec(o, "Deployment"), replicas=3), "says a number of replicas, too"),
    "a budget that lets none go": (
        lambda o: put(spec(o, "PodDisruptionBudget"), maxUnavailable=None, minAvailable=2),
        "no node could ever be emptied",
    ),
    "a budget of none": (lambda o: put(spec(o, "PodDisruptionBudget"), maxUnavailable=0), "ever be emptied"),
    "another namespace": (lambda o: put(one_of(o, "Service")["metadata"], namespace="rose"), "several namespaces"),
    "a name": (lambda o: put(one_of(o, "Service")["metadata"], name="Iris_1"), "Service Iris_1: the name is not valid"),
    "a long name": (lambda o: put(one_of(o, "Service")["metadata"], name="i" * 64), "the name is not valid"),
    "two of them": (
        lambda o: o.append(copy.deepcopy(one_of(o, "ServiceAccount"))),
        "ServiceAccount iris: there are two",
    ),
    "an image": (lambda o: put(container(o), image="Iris:v1"), "'Iris:v1' cannot name an image"),
    "a number in the environment": (lambda o: env(o, "PORT", 3000), "PORT is no text"),
    "a variable twice": (lambda o: container(o)["env"].append({"name": "PORT", "value": "1"}), "is set twice"),
    "no such volume": (lambda o: pod(o)["spec"]["volumes"].pop(), "there is no volume token"),
    "no time to stop": (lambda o: put(pod(o)["spec"], terminationGracePeriodSeconds=35), "do not fit into 35 s"),
    "a long label": (lambda o: put(one_of(o, "Service")["metadata"]["labels"], a="b" * 64), "the label a cannot be"),
    "a label with a space": (lambda o: put(pod(o)["metadata"]["labels"], a="b c"), "the label a cannot be 'b c'"),
    "a label's key": (lambda o: put(pod(o)["metadata"]["labels"], **{"a b": "c"}), "'a b' is no label"),
    "a label that is a number": (lambda o: put(pod(o)["metadata"]["labels"], a=1), "the label a cannot be 1"),
    "a root that can be written": (
        lambda o: put(container(o)["securityContext"], readOnlyRootFilesystem=False),
        "readOnlyRootFilesystem is False",
    ),
    "a capability": (lambda o: container(o)["securityContext"].pop("capabilities"), "capabilities is None"),
    "the cluster's token": (
        lambda o: pod(o)["spec"].pop("automountServiceAccountToken"),
        "given a token of the cluster",
    ),
    "a Secret": (fake_secret, "a Secret does not belong in a file"),
    "a secret variable": (lambda o: env(o, "AUTODEPLOY_TOKEN", "hunter2"), "AUTODEPLOY_TOKEN holds a secret"),
}


def test_good_manifests_have_no_fault(good: Objects) -> None:
    assert not list(checks.faults(good))
    assert not rejected(good)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_and_worded(good: Objects, name: str) -> None:
    spoil, words = FAULTS[name]
    objects = copy.deepcopy(good)
    spoil(objects)
    found = list(checks.faults(objects))
    assert any(words in fault for fault in found), found
    with pytest.raises(ShipFailed, match="the manifests of here are not right"):
        checks.assert_good(objects, "here")


def test_two_autoscalers_are_one_too_many(make: Make) -> None:
    objects = [
        *whole.production(make(scaling="hpa"), "iris"),
        one_of(whole.production(make(scaling="keda"), "iris"), "ScaledObject"),
    ]
    assert any("two autoscalers" in fault for fault in checks.faults(objects))


@pytest.mark.parametrize("kind", ["Deployment", "Service", "HorizontalPodAutoscaler", "ServiceMonitor"])
def test_schemas_find_what_they_are_for(good: Objects, kind: str) -> None:
    objects = copy.deepcopy(good)
    put(spec(objects, kind), nonsense=1)
    assert [fault.partition(":")[0] for fault in rejected(objects)] == [kind]


def test_a_file_that_nobody_lists_is_found_and_one_that_is_not_there(ship: Ship) -> None:
    _, folder, _ = ship()
    place = folder / "overlays" / "production"
    (place / "extra.yaml").write_text("kind: Extra\n")
    said = yaml.safe_load((place / "kustomization.yaml").read_text("utf-8"))
    said["resources"] += ["missing.yaml", said["resources"][1]]
    (place / "kustomization.yaml").write_text(yaml.safe_dump(said))
    found = list(checks.folder_faults(folder))
    assert len(found) == 3
    assert any("extra.yaml is there and nobody lists it" in fault for fault in found)
    assert any("missing.yaml is listed and is not there" in fault for fault in found)
    assert any("listed twice" in fault for fault in found)


@pytest.mark.parametrize(
    ("text", "value"),
    [("250m", "0.25"), ("2", "2"), ("1Gi", 2**30), ("1.5Ki", 1536), ("1e3", 1000), ("3M", 3_000_000), (".5", "0.5")],
)
def test_quantities_are_read_as_the_api_server_does(text: str, value: Any) -> None:
    from decimal import Decimal

    assert quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "5potatoes", "1 Gi", "1gi", "Mi", "0x10", "1e", "٣", "1Gi\n", "--1"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        quantity(text)


def test_quantities_are_rounded_up() -> None:
    assert [cores(each) for each in (1, 250, 251, 1000, 1990)] == ["50m", "250m", "300m", "1", "2"]
    assert [mebibytes(each * 2**20) for each in (0, 16, 16.5, 1024)] == ["16Mi", "16Mi", "32Mi", "1024Mi"]


def test_reading_a_file_of_several(tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text("a: 1\n---\n---\nb: 2\n")
    assert checks.read(file) == [{"a": 1}, {"b": 2}]
