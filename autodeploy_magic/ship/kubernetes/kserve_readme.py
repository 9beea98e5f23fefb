"""README.md of `ship kserve`."""

from __future__ import annotations

from autodeploy_magic.ship.base import Cargo
from autodeploy_magic.ship.kubernetes.readme import (
    bullets,
    commands,
    image_section,
    limits_section,
    sizing_section,
    token_section,
)
from autodeploy_magic.ship.kubernetes.reasons import namespace_of

__all__ = ["kserve_readme"]


def kserve_readme(cargo: Cargo) -> str:
    """What to type, in order."""
    name, namespace = cargo.name, namespace_of(cargo)
    knative = cargo.text("mode") == "knative"
    needs = ["Kubernetes 1.30 or newer and `kubectl`", "KServe 0.13 or newer" + (", with Knative" if knative else "")]
    change = 'echo "$REPOSITORY@$DIGEST"     # write this behind `image:` in base/inferenceservice.yaml'
    call = commands(
        "kubectl apply -k base",
        f"kubectl -n {namespace} wait inferenceservice/{name} --for=condition=Ready --timeout=300s",
        f"URL=$(kubectl -n {namespace} get inferenceservice {name} -o jsonpath='{{.status.url}}')",
        f'curl -fsS -H "Authorization: Bearer $(cat token)" $URL/v2/models/{name}',
    )
    beside = (
        "A new version is a new revision of the same InferenceService: ship it into a folder of its own, and apply its "
        f"`canary`. It gets {cargo.number('canary')} % of the traffic, and what served before keeps the rest.\n\n"
    ) + commands(
        "kubectl apply -k canary      # in the folder of the NEW version",
        f"kubectl -n {namespace} get inferenceservice {name}      # PREV and LATEST tell the shares",
        "kubectl apply -k base        # it is good: all of the traffic",
    )
    share = '{"spec":{"predictor":{"canaryTrafficPercent":0}}}'
    back = commands(
        f"kubectl -n {namespace} patch inferenceservice {name} --type merge -p '{share}'    # at once",
        "kubectl apply -k base        # in the folder of the OLD version: the files say so, too",
    )
    if not knative:
        beside = "Standard mode has no canaries: KServe splits traffic with Knative alone (--set mode=knative).\n"
        back = commands("kubectl apply -k base        # in the folder of the OLD version")
    return "\n".join(
        (
            f"# {name} v{cargo.version.number} on KServe\n",
            (
                "A custom predictor: the image holds the model and speaks the Open Inference Protocol v2 (and KServe's "
                "v1) itself, so no ServingRuntime is needed.\n"
            ),
            f"## You need\n\n{bullets(needs)}",
            image_section(cargo, change),
            token_section(cargo, namespace, restricted=False),  # the sidecars of KServe's platforms may not be
            f"## Apply\n\n{call}",
            f"## A new version beside it\n\n{beside}",
            f"## Roll back\n\n{back}\n`kubectl delete -k base` ends it; Secret and namespace stay.\n",
            sizing_section(cargo),
            limits_section(
                cargo,
                "By `ship`, before it handed this over: names, ports, quantities, files.",
                "It answers to any host name, since KServe gives it one: the token keeps others out.",
                "No network policy: which pods KServe and its gateway ask from differs from cluster to cluster.",
                "KServe's own scraping sends no token, and /metrics asks for one: scrape with a PodMonitor of yours.",
                *(["Knative decides how pods are spread, and how long they may take to stop."] if knative else []),
            ),
        )
    )
