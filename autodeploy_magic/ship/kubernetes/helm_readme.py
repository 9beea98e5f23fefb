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
from autodeploy_magic.ship.kubernetes.reasons import digest_of, namespace_of

__all__ = ["helm_readme"]


def helm_readme(cargo: Cargo) -> str:
    """What to type, in order."""
    name, namespace = cargo.name, namespace_of(cargo)
    # each command names the image that was pushed: one without would go back to the tag of values.yaml
    named = "" if digest_of(cargo.reference) else " --set image.repository=$REPOSITORY --set image.digest=$DIGEST"
    upgrade = f"helm -n {namespace} upgrade --install {name} .{named} --rollback-on-failure     # Helm 3: --atomic"
    canary = commands(
        f"NEW=v{cargo.version.number + 1} NEW_DIGEST=sha256:...     # of the new image, in the same repository",
        f"helm -n {namespace} upgrade {name} . --reuse-values --set canary.enabled=true --set canary.version=$NEW \\",
        "    --set canary.image.digest=$NEW_DIGEST",
        f"kubectl -n {namespace} rollout status deployment/{name}-canary",
        f"helm -n {namespace} upgrade {name} . --reuse-values --set canary.enabled=false     # away with it",
        "# it is good: the commands of Install in the folder of the NEW version. It takes over, and the canary ends",
    )
    back = commands(f"helm -n {namespace} history {name}", f"helm -n {namespace} rollback {name}")
    return "\n".join(
        (
            f"# {name} v{cargo.version.number}: a Helm chart\n",
            "values.yaml is all that differs between versions; values.schema.json says what each value may be.\n",
            f"## You need\n\n{bullets([*needs(cargo), 'Helm 3.14 or newer'])}",
            image_section(cargo),
            token_section(cargo, namespace),
            "## Install\n",
            commands(
                "helm lint --strict .",
                f"helm -n {namespace} template {name} .{named} | kubectl diff -f -     # what would change",
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
