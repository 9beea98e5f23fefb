"""README.md of `ship helm`."""

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
from autodeploy_magic.ship.kubernetes.reasons import namespace_of

__all__ = ["helm_readme"]


def helm_readme(cargo: Cargo) -> str:
    """What to type, in order."""
    name, namespace = cargo.name, namespace_of(cargo)
    upgrade = f"helm -n {namespace} upgrade --install {name} . --rollback-on-failure     # Helm 3: --atomic"
    pushed = "--set image.repository=$REGISTRY/" + name + " --set image.digest=$DIGEST"
    canary = commands(
        f"helm -n {namespace} upgrade {name} . --reuse-values --set canary.enabled=true --set canary.version=$NEW \\",
        "    --set canary.image.digest=$NEW_DIGEST",
        f"kubectl -n {namespace} rollout status deployment/{name}-canary",
        f"helm -n {namespace} upgrade {name} . --reuse-values --set canary.enabled=false     # away with it",
    )
    back = commands(f"helm -n {namespace} history {name}", f"helm -n {namespace} rollback {name}")
    return "\n".join(
        (
            f"# {name} v{cargo.version.number}: a Helm chart\n",
            "values.yaml is all that differs between versions; values.schema.json says what each value may be.\n",
            f"## You need\n\n{bullets([*needs(cargo), 'Helm 3.14 or newer'])}",
            image_section(
                cargo, f"helm -n {namespace} upgrade --install {name} . {pushed}     # after the token, below"
            ),
            token_section(cargo, namespace),
            "## Install\n",
            commands(
                "helm lint --strict .",
                f"helm -n {namespace} template {name} . | kubectl diff -f -     # what would change",
                upgrade,
            ),
            f"Alerts and queries are about the namespace that the release goes into, here {namespace}.\n",
            "## A new version beside it\n",
            f"The canary answers behind the same Service {name}, and gets its share by its pods.\n",
            canary,
            "## Roll back\n",
            back,
            f"`helm -n {namespace} uninstall {name}` ends it; Secret and namespace stay.\n",
            sizing_section(cargo),
            limits_section(
                cargo,
                "By `ship`, before it handed this over: names, selectors, ports, quantities, the time to stop.",
            ),
        )
    )
