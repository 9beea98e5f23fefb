"""`ship kserve`: an InferenceService of our image, with what Knative lets a pod say, and with all of it without."""

from __future__ import annotations

import pytest
from clusters import REFERENCE, Make, Ship, kustomized, one_of, rejected

from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.ship.kubernetes.checks import faults, folder_faults
from autodeploy_magic.ship.write import target_of

REFUSED_BY_KNATIVE = {
    "securityContext",
    "topologySpreadConstraints",
    "terminationGracePeriodSeconds",
    "affinity",
    "tolerations",
    "nodeSelector",
}


@pytest.mark.parametrize("mode", ["knative", "standard"])
def test_schemas_and_checks_have_nothing_against_it(ship: Ship, mode: str) -> None:
    cargo, folder, _ = ship("kserve", mode=mode, slo="p99<50ms, memory<500MB")
    assert not list(folder_faults(folder))
    objects = kustomized(folder / "base")
    assert not rejected(objects)
    assert not list(faults(objects))
    service = one_of(objects, "InferenceService")
    assert service["metadata"]["namespace"] == "iris"
    predictor = service["spec"]["predictor"]
    # said: what a roll-back by hand left there (0 %) would hold the next version, since apply keeps what nobody says
    assert predictor.get("canaryTrafficPercent") == (100 if mode == "knative" else None)
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (2, 10)
    [container] = predictor["containers"]
    assert container["name"] == "kserve-container"
    assert container["image"] == REFERENCE == cargo.reference
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert env["AUTODEPLOY_HOSTS"] == "*"  # KServe makes up the host, and the token keeps others out
    assert env["AUTODEPLOY_TOKEN_FILE"]


def test_knative_is_told_only_what_it_takes(ship: Ship) -> None:
    _, folder, _ = ship("kserve")
    service = one_of(kustomized(folder / "base"), "InferenceService")
    predictor = service["spec"]["predictor"]
    assert not REFUSED_BY_KNATIVE & set(predictor)
    [container] = predictor["containers"]
    assert not {"lifecycle", "startupProbe"} & set(container)
    assert [port["name"] for port in container["ports"]] == ["http1"]
    assert not [each for each in container["env"] if "valueFrom" in each]  # fields of the pod are off by default
    [secret] = [each["secret"] for each in predictor["volumes"] if "secret" in each]
    assert secret["defaultMode"] & 0o004  # no fsGroup: the server's user reads it as one of the others
    assert predictor["scaleMetric"] == "rps"
    assert service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Serverless"


def test_standard_mode_has_all_that_a_pod_may_say(ship: Ship) -> None:
    _, folder, _ = ship("kserve", mode="standard")
    assert not (folder / "canary").exists()
    predictor = one_of(kustomized(folder / "base"), "InferenceService")["spec"]["predictor"]
    assert predictor["securityContext"]["fsGroup"] == 65532
    assert predictor["terminationGracePeriodSeconds"] > 35
    assert predictor["scaleMetric"] == "cpu"
    assert predictor["deploymentStrategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert "no canaries" in (folder / "README.md").read_text("utf-8")


def test_a_canary_gets_its_share_and_nothing_else_differs(ship: Ship) -> None:
    _, folder, _ = ship("kserve", canary="25", namespace="ml")
    base, canary = kustomized(folder / "base"), kustomized(folder / "canary")
    assert not rejected(canary)
    predictor = one_of(canary, "InferenceService")["spec"]["predictor"]
    assert predictor["canaryTrafficPercent"] == 25
    predictor["canaryTrafficPercent"] = 100
    assert canary == base
    readme = (folder / "README.md").read_text("utf-8")
    assert '{"spec":{"predictor":{"canaryTrafficPercent":0}}}' in readme
    assert "Never applied to a cluster" in readme


@pytest.mark.parametrize("share", ["0", "100", "-3"])
def test_a_share_that_is_none_is_refused(make: Make, share: str) -> None:
    with pytest.raises(InvalidOption, match="canary is"):
        target_of("kserve").refuse(make("kserve", canary=share))
