"""README.md of `ship kubernetes`."""

from __future__ import annotations

from autodeploy_magic.ship.base import Cargo
from autodeploy_magic.ship.kubernetes.readme import (
    bullets,
    commands,
    image_section,
    limits_section,
    needs,
    sizing_section,
    token_section,
)
from autodeploy_magic.ship.kubernetes.reasons import namespace_of, repository

__all__ = ["kustomize_readme"]

_WHAT = """\
`base` is what is the same everywhere; `overlays/dev`, `overlays/staging` and `overlays/production` add what differs.
`canary` runs this version beside the one that is in production.
"""


def kustomize_readme(cargo: Cargo) -> str:
    """What to type, in order."""
    name, namespace = cargo.name, namespace_of(cargo)
    change = f"kustomize edit set image {repository(cargo.reference)}=$REPOSITORY@$DIGEST"
    image = image_section(
        cargo,
        f"for each in overlays/* canary; do (cd $each && {change}); done",
        "# without kustomize: write newName and digest into each kustomization.yaml, and take newTag out",
    )
    return "\n".join(
        (
            f"# {name} v{cargo.version.number} on Kubernetes\n",
            _WHAT,
            f"## You need\n\n{bullets(needs(cargo))}",
            image,
            token_section(cargo, namespace),
            _apply(name, namespace),
            _canary(name, namespace),
            _roll_back(name, namespace),
            sizing_section(cargo),
            limits_section(
                cargo,
                "By `ship`, before it handed this over: names, selectors, ports, quantities, files, the time to stop.",
                f"The network policy lets in pods of {namespace} and what is named above, and no others; it needs a "
                "network that enforces policies.",
                "production alone has a way in from outside.",
            ),
        )
    )


def _apply(name: str, namespace: str) -> str:
    block = commands(
        "kubectl diff -k overlays/production     # what would change",
        "kubectl apply -k overlays/production",
        f"kubectl -n {namespace} rollout status deployment/{name}",
        f"kubectl -n {namespace} port-forward service/{name} 8080:80 &",
        'curl -fsS -H "Authorization: Bearer $(cat token)" localhost:8080/v2',
    )
    others = (
        f"`overlays/dev` and `overlays/staging` go into {namespace}-dev and {namespace}-staging in the same way; each "
        "namespace needs its Secret.\n"
    )
    return f"## Apply\n\n{block}\n{others}"


def _canary(name: str, namespace: str) -> str:
    block = commands(
        "kubectl apply -k canary                     # in the folder of the NEW version",
        f"kubectl -n {namespace} rollout status deployment/{name}-canary",
        f"kubectl -n {namespace} get pods -L app.kubernetes.io/version -L autodeploy-magic/track",
        f"kubectl -n {namespace} scale deployment/{name}-canary --replicas=3",
        "kubectl apply -k overlays/production        # it is good: take it over,",
        "kubectl delete -k canary                    # and this one away; or this alone, and nothing else was touched",
    )
    said = (
        "Deploy and containerize the new version, ship it into a folder of its own, and apply its `canary`: both "
        f"answer behind the Service {name}, and each gets its share by its pods. Prometheus tells them apart by "
        "`version`.\n"
    )
    return f"## A new version beside it\n\n{said}\n{block}"


def _roll_back(name: str, namespace: str) -> str:
    block = commands(
        f"kubectl -n {namespace} rollout history deployment/{name}",
        f"kubectl -n {namespace} rollout undo deployment/{name}    # at once",
        "kubectl apply -k overlays/production        # in the folder of the OLD version: the files say so, too",
    )
    return f"## Roll back\n\n{block}\n`kubectl delete -k overlays/production` ends it; Secret and namespace stay.\n"
