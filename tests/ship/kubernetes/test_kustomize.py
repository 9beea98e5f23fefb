"""`ship kubernetes`: what kubectl makes of it, and what schemas say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from clusters import IMAGE, REFERENCE, Ship, kustomized, objects_of, one_of, rejected
from msgspec.structs import replace

from autodeploy_magic.ship.kubernetes.checks import faults, folder_faults
from autodeploy_magic.ship.kubernetes.quantities import quantity

EVERYTHING = {"host": "iris.example.com", "slo": "p99<50ms, errors<0.1%, memory<500MB, f1>0.9"}
OTHERWISE = {
    "scaling": "keda",
    "ingress": "gateway",
    "host": "iris.example.com",
    "gateway": "infra/public",
    "storage": "memory",
    "cpu": "2",
    "memory": "1Gi",
    "desired": {"grpc": True, "workers": 2, "settings": {"otlp_endpoint": "https://traces.example.com", "hosts": "*"}},
}


def written(folder: Path) -> list[dict[str, Any]]:
    files = [file for file in folder.rglob("*.yaml") if file.name != "kustomization.yaml"]
    return [each for file in files for each in objects_of(file.read_text("utf-8"))]


@pytest.mark.parametrize("options", [EVERYTHING, OTHERWISE, {"scaling": "none", "monitoring": "no"}])
def test_schemas_and_checks_have_nothing_against_any_environment(ship: Ship, options: dict[str, Any]) -> None:
    _, folder, _ = ship(**options)
    assert not list(folder_faults(folder))
    for place in ("overlays/dev", "overlays/staging", "overlays/production", "canary"):
        objects = kustomized(folder / place)
        assert not rejected(objects), place
        if place != "canary":
            assert not list(faults(objects)), place
    assert not list(faults([*kustomized(folder / "overlays/production"), *kustomized(folder / "canary")]))


def test_an_environment_adds_what_it_needs(ship: Ship) -> None:
    _, folder, _ = ship(**EVERYTHING)
    kinds = {
        place: {each["kind"] for each in kustomized(folder / "overlays" / place)}
        for place in ("dev", "staging", "production")
    }
    everywhere = {"ServiceAccount", "Deployment", "Service", "NetworkPolicy", "ServiceMonitor"}
    assert kinds["dev"] == everywhere
    assert kinds["staging"] == everywhere | {"PodDisruptionBudget", "PrometheusRule"}
    assert kinds["production"] == kinds["staging"] | {"HorizontalPodAutoscaler", "Ingress"}
    for place, namespace in (("dev", "iris-dev"), ("staging", "iris-staging"), ("production", "iris")):
        objects = kustomized(folder / "overlays" / place)
        assert {each["metadata"]["namespace"] for each in objects} == {namespace}
        replicas = one_of(objects, "Deployment")["spec"].get("replicas")
        assert replicas == {"dev": 1, "staging": 2, "production": None}[place]
    rules = one_of(kustomized(folder / "overlays/staging"), "PrometheusRule")["spec"]["groups"]
    assert all('namespace="iris-staging"' in rule["expr"] for group in rules for rule in group["rules"])


def test_the_pod_is_hardened_and_stops_without_losing_a_request(ship: Ship) -> None:
    cargo, folder, _ = ship(desired={"settings": {"request_timeout_s": 12.5, "drain_s": 3.0}})
    pod = one_of(kustomized(folder / "overlays/production"), "Deployment")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["image"] == REFERENCE == cargo.reference
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["automountServiceAccountToken"] is False
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert env["AUTODEPLOY_DRAIN_S"] == "13"  # no request that may still be answered is cut off
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > pause + 13 + 12.5
    assert env["AUTODEPLOY_TOKEN_FILE"] == "/var/run/secrets/autodeploy/token"
    assert "AUTODEPLOY_TOKEN" not in env
    [token] = [each for each in container["volumeMounts"] if each["name"] == "token"]
    assert "subPath" not in token  # or the file would not follow its Secret
    memory = container["resources"]
    assert quantity("73Mi") < quantity(memory["requests"]["memory"]) < quantity(memory["limits"]["memory"])


def test_it_answers_to_the_names_that_its_clients_use(ship: Ship) -> None:
    from autodeploy_magic.errors import Misdirected
    from autodeploy_magic.serve.http.guard import Guard

    _, folder, _ = ship(host="iris.example.com", desired={"settings": {"hosts": "other.example.com"}})
    [container] = one_of(kustomized(folder / "overlays/production"), "Deployment")["spec"]["template"]["spec"][
        "containers"
    ]
    names = [each["name"] for each in container["env"]]
    assert names.index("POD_NAMESPACE") < names.index("AUTODEPLOY_HOSTS")  # or Kubernetes would not put it in
    hosts = next(each["value"] for each in container["env"] if each["name"] == "AUTODEPLOY_HOSTS")
    guard = Guard(tokens=["t"], hosts=hosts.replace("$(POD_NAMESPACE)", "ml"))
    for host in (b"iris", b"iris.ml.svc:80", b"iris.ml.svc.cluster.local", b"iris.example.com", b"other.example.com"):
        guard.check_host({b"host": host})
    with pytest.raises(Misdirected):
        guard.check_host({b"host": b"evil.example.org"})


def test_a_tag_is_shipped_with_words_on_how_to_name_a_digest(ship: Ship) -> None:
    _, folder, written = ship(reference="localhost:5000/iris:v1")
    assert any("is a tag" in note for note in written.notes)
    readme = (folder / "README.md").read_text("utf-8")
    assert "skopeo copy" in readme
    assert "kustomize edit set image localhost:5000/iris=$REPOSITORY@$DIGEST" in readme
    production = folder / "overlays/production"
    [container] = one_of(kustomized(production), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "localhost:5000/iris:v1"
    said = yaml.safe_load((production / "kustomization.yaml").read_text("utf-8"))
    said["images"] = [{"name": "localhost:5000/iris", "newName": "ghcr.io/me/iris", "digest": "sha256:" + "a" * 64}]
    (production / "kustomization.yaml").write_text(yaml.safe_dump(said))  # what `kustomize edit set image` writes
    [container] = one_of(kustomized(production), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "ghcr.io/me/iris@sha256:" + "a" * 64


def test_a_tag_in_a_registry_is_looked_up_there_and_not_pushed_over(ship: Ship) -> None:
    _, folder, _ = ship(reference="registry.example.com:5000/ml/other-name:v3", replicas="3")
    block = (folder / "README.md").read_text("utf-8").partition("## The image")[2].partition("## The token")[0]
    lines = [line for line in block.splitlines() if line and not line.startswith("#")]
    assert "REPOSITORY=registry.example.com:5000/ml/other-name" in lines
    assert (
        "DIGEST=$(skopeo inspect --format '{{.Digest}}' docker://registry.example.com:5000/ml/other-name:v3)" in lines
    )
    assert not [line for line in lines if line.startswith("skopeo copy")]
    assert "containers-storage:localhost/iris:v1 docker://registry.example.com:5000/ml/other-name:v3" in block


def test_an_archive_is_pushed_with_its_own_digest(ship: Ship) -> None:
    image = replace(IMAGE, engine="", archive="/home/me/$(reboot) `x`/a b.tar", digest="sha256:" + "b" * 64)
    _, folder, _ = ship(reference="iris:v1", image=image)
    readme = (folder / "README.md").read_text("utf-8")
    assert "oci-archive:ARCHIVE" in readme
    assert "reboot" not in readme
    assert "sha256:" + "b" * 64 in readme


def test_a_canary_stands_beside_and_is_found_by_the_same_service(ship: Ship) -> None:
    _, folder, _ = ship()
    stable, [canary] = kustomized(folder / "overlays/production"), kustomized(folder / "canary")
    wanted = one_of(stable, "Service")["spec"]["selector"]
    assert canary["metadata"]["name"] == "iris-canary"
    assert canary["spec"]["replicas"] == 1
    labels = canary["spec"]["template"]["metadata"]["labels"]
    assert wanted.items() <= labels.items()
    assert labels["app.kubernetes.io/version"] == "v1"
    selector = one_of(stable, "Deployment")["spec"]["selector"]["matchLabels"]
    assert not selector.items() <= labels.items()  # neither Deployment takes the other's pods


def test_a_new_token_is_made_before_it_is_put_there(ship: Ship) -> None:
    _, folder, _ = ship()
    renewed = (folder / "README.md").read_text("utf-8").partition("A new one")[2].partition("## ")[0].splitlines()
    commands = [line for line in renewed if "token" in line and not line.startswith(",")]
    assert commands[0].endswith("> token")
    assert "--dry-run=client -o yaml | kubectl apply" in commands[1]


def test_no_secret_is_in_any_file(ship: Ship) -> None:
    settings = {"otlp_endpoint": "https://me:hunter2@traces.example.com", "verify_key": "/home/me/key.pem"}
    _, folder, written = ship(desired={"settings": settings})
    text = "".join(file.read_text("utf-8") for file in folder.rglob("*") if file.is_file())
    assert "hunter2" not in text
    assert "key.pem" not in text
    assert any("otlp_endpoint, verify_key: left out" in note for note in written.notes)
    assert not [each for each in written_kinds(folder) if each == "Secret"]


def written_kinds(folder: Path) -> list[str]:
    return [each["kind"] for each in written(folder)]


def test_alerts_are_about_one_namespace_and_find_what_they_record(ship: Ship) -> None:
    _, folder, _ = ship(slo="p99<50ms")
    rule = one_of(kustomized(folder / "overlays/production"), "PrometheusRule")
    rules = [each for group in rule["spec"]["groups"] for each in group["rules"]]
    recorded = [each for each in rules if "record" in each]
    assert recorded
    assert all(each["labels"]["namespace"] == "iris" for each in recorded)
    monitor = one_of(kustomized(folder / "overlays/production"), "ServiceMonitor")
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint["authorization"] == {"type": "Bearer", "credentials": {"name": "iris-token", "key": "token"}}


def test_readme_says_what_was_never_tried(ship: Ship) -> None:
    _, folder, _ = ship(**OTHERWISE)
    readme = (folder / "README.md").read_text("utf-8")
    for words in ("Never applied to a cluster", "rollout undo", "--from-file=token=token", "KEDA", "Gateway API"):
        assert words in readme
