"""`ship kserve`: an InferenceService whose predictor is our image, which speaks the Open Inference Protocol v2 itself.

A ServingRuntime is for servers that fetch a model: this image holds its model, so there is none to write. With Knative
(the default) KServe splits the traffic between revisions by `canaryTrafficPercent`; Knative refuses what a pod may
otherwise say (its security context, pauses before it stops, spreading), so that is left out there: the container's own
security context says the same.

Source: kserve.github.io/website, "Custom predictors", "Canary rollout"; knative.dev/docs/serving, "Runtime contract".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Report
from autodeploy_magic.errors import InvalidOption, ShipFailed
from autodeploy_magic.ship.base import Cargo, Choice, Written
from autodeploy_magic.ship.kubernetes import manifests
from autodeploy_magic.ship.kubernetes.checks import assert_good, folder_faults
from autodeploy_magic.ship.kubernetes.kserve_readme import kserve_readme
from autodeploy_magic.ship.kubernetes.kustomization import write_kustomization
from autodeploy_magic.ship.kubernetes.reasons import SIZES, namespace_of, notes, refuse
from autodeploy_magic.ship.kubernetes.sizing import START_S, sized

__all__ = ["KServe", "inference_service"]

_MODES = {"knative": "Serverless", "standard": "RawDeployment"}
"""Our word → KServe's annotation. Newer releases call them Knative and Standard, and read these, too."""


class KServe:
    """Writes a KServe InferenceService with a canary, for KServe 0.13 or newer, on Knative or on plain Deployments."""

    choices = (
        *SIZES,
        Choice(
            "mode", "what KServe runs it by: knative (has canaries), or standard Deployments", "knative", tuple(_MODES)
        ),
        Choice("canary", "percent of the traffic that a new version is given at first", 10),
    )
    image = "needed"

    def refuse(self, cargo: Cargo) -> None:
        refuse(cargo, "ship kserve")
        if not 1 <= cargo.number("canary") <= 99:
            raise InvalidOption(f"canary is {cargo.number('canary')} %", fix="use 1 to 99, such as canary=10")

    def write(self, cargo: Cargo, folder: Path, report: Report) -> Written:
        namespace, name = namespace_of(cargo), cargo.name
        objects = {
            "serviceaccount.yaml": manifests.service_account(cargo),
            "inferenceservice.yaml": inference_service(cargo),
        }
        write_kustomization(folder / "base", objects, {"namespace": namespace, "resources": list(objects)})
        if cargo.text("mode") == "knative":
            share = {"spec": {"predictor": {"canaryTrafficPercent": cargo.number("canary")}}}
            patch = {"apiVersion": _API, "kind": "InferenceService", "metadata": {"name": name}, **share}
            said = {"resources": ["../base"], "patches": [{"path": "canary.yaml"}]}
            write_kustomization(folder / "canary", {"canary.yaml": patch}, said)
        assert_good(list(objects.values()), "base")
        found = list(folder_faults(folder))
        if found:
            raise ShipFailed("the kustomizations are not right", why="; ".join(found), fix="please report it")
        (folder / "README.md").write_text(kserve_readme(cargo), "utf-8")
        secret = f"create secret generic {manifests.token_secret(cargo)} --from-file=token=TOKEN_FILE"
        return Written(
            notes=notes(cargo),
            next=(
                f"kubectl create namespace {namespace}",
                f"kubectl -n {namespace} {secret}",
                "kubectl apply -k base",
                f"kubectl -n {namespace} wait inferenceservice/{name} --for=condition=Ready --timeout=300s",
            ),
        )


_API = "serving.kserve.io/v1beta1"


def inference_service(cargo: Cargo, namespace: str = "") -> dict[str, Any]:
    """The InferenceService. Its host names are KServe's to give, so it answers to any: the token keeps others out."""
    size, knative = sized(cargo), cargo.text("mode") == "knative"
    container = manifests.container(
        cargo,
        name="kserve-container",  # the name that KServe knows the server's by
        port_name="http1" if knative else "http",
        hosts="*",
        pre_stop=not knative,
    )
    if knative:  # older ones refuse it, and wait for readiness by themselves
        del container["startupProbe"]
        container["livenessProbe"] = {**container["livenessProbe"], "initialDelaySeconds": START_S}
    predictor: dict[str, Any] = {
        "minReplicas": cargo.number("replicas"),
        "maxReplicas": cargo.number("max_replicas"),
        "scaleMetric": "rps" if knative else "cpu",
        "scaleTarget": size.rate if knative else size.utilisation,
        "timeout": size.request_timeout_s,
        "labels": manifests.labels(cargo),
        "serviceAccountName": cargo.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [container],
        "volumes": manifests.volumes(cargo, group=not knative),
    }
    if knative:  # said, and not left out: a share that a roll-back by hand left there would hold the next version, too
        predictor["canaryTrafficPercent"] = 100
    else:
        whole = manifests.pod(cargo)["spec"]
        spread = [{**one, "labelSelector": {"matchLabels": manifests.selector(cargo)}} for one in whole[_SPREAD]]
        predictor |= {
            "deploymentStrategy": manifests.deployment(cargo)["spec"]["strategy"],
            "terminationGracePeriodSeconds": whole["terminationGracePeriodSeconds"],
            "securityContext": whole["securityContext"],
            _SPREAD: spread,
        }
    mode = {"serving.kserve.io/deploymentMode": _MODES[cargo.text("mode")]}
    return {
        "apiVersion": _API,
        "kind": "InferenceService",
        "metadata": manifests.metadata(cargo, namespace) | {"annotations": {**mode, **manifests.described(cargo)}},
        "spec": {"predictor": predictor},
    }


_SPREAD = "topologySpreadConstraints"
