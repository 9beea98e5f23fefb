"""What the README.md of each target says: what a person types, in order, and what nobody tried.

All values in it were checked before: names of Kubernetes, references to images, quantities.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath

from autodeploy_magic.ship.base import Cargo
from autodeploy_magic.ship.cloud.folder import in_registry
from autodeploy_magic.ship.kubernetes.manifests import TOKEN_KEY, token_secret
from autodeploy_magic.ship.kubernetes.network import door
from autodeploy_magic.ship.kubernetes.reasons import digest_of, namespace_of, notes, repository
from autodeploy_magic.ship.kubernetes.sizing import PRE_STOP_S, sized
from autodeploy_magic.slo import parse

__all__ = ["bullets", "commands", "image_section", "limits_section", "needs", "sizing_section", "token_section"]

_MIB = 2**20
_RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
_PLAIN = re.compile(r"[\w.-]+")


def commands(*lines: str) -> str:
    """Lines as a block of shell."""
    return "```sh\n" + "\n".join(lines) + "\n```\n"


def bullets(lines: Iterable[str]) -> str:
    """Lines as a list."""
    return "".join(f"- {line}\n" for line in lines)


def needs(cargo: Cargo) -> list[str]:
    """What the cluster has to have."""
    found = ["Kubernetes 1.30 or newer (the pause before a pod stops is its own `sleep`), and `kubectl`"]
    if not digest_of(cargo.reference):
        found.append("skopeo, to push the image and to learn its digest")
    if cargo.text("scaling") == "hpa":
        found.append("metrics-server, for the HorizontalPodAutoscaler")
    if cargo.text("scaling") == "keda":
        found.append(f"KEDA 2.10 or newer, and a Prometheus at {cargo.text('prometheus')}")
    if cargo.text("monitoring") == "yes":
        found.append(
            "the Prometheus Operator; where yours looks only for certain labels (`release: …`), add them to "
            "ServiceMonitor and PrometheusRule. Without it: ship again with --set monitoring=no"
        )
    if door(cargo) == "ingress":
        found.append(
            f"an ingress controller of the class {cargo.text('ingress_class')} in the namespace "
            f"{cargo.text('ingress_namespace')}, and the Secret {cargo.name}-tls with the certificate of "
            f"{cargo.text('host')}: `kubectl -n {namespace_of(cargo)} create secret tls {cargo.name}-tls "
            "--cert=FILE --key=FILE`, or cert-manager"
        )
    if door(cargo) == "gateway":
        found.append(
            f"Gateway API 1.2 or newer, with the Gateway {cargo.text('gateway')}, which lets routes of "
            f"{namespace_of(cargo)} in, and whose pods are in the namespace {cargo.text('ingress_namespace')}"
        )
    return found


def image_section(cargo: Cargo, *change: str) -> str:
    """How the image gets into a registry, and how its digest is named; `change` are the commands that say it."""
    reference, image = cargo.reference, cargo.image
    if digest_of(reference):
        return f"## The image\n\n`{reference}`: a digest, which nobody can move.\n"
    source, digest = _source(cargo) if image is not None else "", ""
    if image is not None and image.archive and image.digest:
        digest = f"\nThe archive's own manifest is `{image.digest}`, and stays that.\n"
    if in_registry(reference) and (image is None or image.name != reference):
        said = "a tag, which may come to mean another image. Name what the registry has under it now, by its digest."
        first, pushed = [f"REPOSITORY={repository(reference)}"], f"docker://{reference}"
        if source:
            first.append(f"# where it is not there yet: skopeo copy --preserve-digests {source} {pushed}")
    else:
        said = (
            "a tag. Nodes pull from a registry that they reach, and a digest is what was checked: push the image, and "
            "name what the registry has."
        )
        pushed = f"docker://$REPOSITORY:v{cargo.version.number}"
        first = [
            f"REPOSITORY=registry.example.com/team/{cargo.name}     # yours",
            f"skopeo copy --preserve-digests {source or f'containers-storage:{reference}'} {pushed}",
        ]
    block = commands(*first, f"DIGEST=$(skopeo inspect --format '{{{{.Digest}}}}' {pushed})", *change)
    return (
        f"## The image\n\nThe files name `{reference}`, which is {said}\n\n{block}{digest}\n"
        "A registry that asks who you are needs `imagePullSecrets` on the ServiceAccount.\n"
    )


def _source(cargo: Cargo) -> str:
    """Where skopeo finds the image that was built here."""
    image = cargo.image
    if image is None:
        return ""
    if image.archive:
        file = PurePath(image.archive).name
        return f"oci-archive:{file if _PLAIN.fullmatch(file) else 'ARCHIVE'}"
    return f"{'docker-daemon' if image.engine == 'docker' else 'containers-storage'}:{image.name}"


def token_section(cargo: Cargo, *namespaces: str, restricted: bool = True) -> str:
    """How the token gets there: no file holds it. `restricted` namespaces let in only pods that are hardened."""
    secret = f"create secret generic {token_secret(cargo)} --from-file={TOKEN_KEY}=token"
    made = "umask 077; python3 -c 'import secrets; print(secrets.token_urlsafe(32), end=\"\")' > token"
    lines = [made]
    for namespace in namespaces:
        lines += [
            f"kubectl create namespace {namespace}",
            *([f"kubectl label namespace {namespace} {_RESTRICTED}"] if restricted else []),
            f"kubectl -n {namespace} {secret}",
        ]
    said = (
        "## The token\n\nEach request needs `Authorization: Bearer TOKEN`, but for /livez, /readyz and /healthz. No "
        "file here holds it: the pods read it from a Secret, as a file.\n\n"
    )
    renew = commands(made, f"kubectl -n {namespaces[0]} {secret} --dry-run=client -o yaml | kubectl apply -f -")
    after = "A new one, now or later, needs no restart: pods see it within about a minute."
    return f"{said}{commands(*lines)}\n{after}\n\n{renew}"


def sizing_section(cargo: Cargo) -> str:
    """What a pod asks for, and how that was computed."""
    size, image = sized(cargo), cargo.image
    slo = parse(cargo.desired.slo).text or "(none)"
    idle = f"{image.rss_bytes / _MIB:.0f} MiB" if image is not None and image.rss_bytes else "not measured"
    rows = [
        ("cost of a request", f"{size.cost_s * 1e3:.3g} ms", "what one row took at the build + 0.15 ms around it"),
        ("CPU request", size.cpu, "100 requests/s · cost / 60 %, for each worker: from 250m up to its threads"),
        ("CPU limit", "none", "a throttled server is late though its node has time to spare"),
        ("workers, threads", f"{size.workers}, {size.threads}", "threads of each worker; OMP_NUM_THREADS is the same"),
        ("memory request", size.memory, f"1.25 · idle memory ({idle}) · workers + 32 MiB"),
        ("memory limit", size.memory_limit, "the SLO's; or twice the idle memory, or 8 largest bodies more than it"),
        ("temporary folder", size.storage, "1.5 · record_bytes + 128 MiB"),
        ("CPU target", f"{size.utilisation} %", f"1 - cost · ln(1/(1-q)) / limit of the SLO {slo}; without one 60 %"),
        ("a pod takes", f"{size.rate} requests/s", "target · CPU request / cost, of one row each"),
        ("grace period", f"{size.grace_s} s", f"{PRE_STOP_S} s before it drains + {size.drain_s} s + a request + 5 s"),
    ]
    table = "".join(f"| {what} | {value} | {origin} |\n" for what, value, origin in rows)
    typed = [name for name in ("cpu", "memory") if cargo.options.get(name)]
    told = f"\nTyped, and not computed: {', '.join(typed)}.\n" if typed else ""
    return f"## What a pod asks for\n\n| what | value | from |\n| --- | --- | --- |\n{table}{told}"


def limits_section(cargo: Cargo, checked: str, *more: str) -> str:
    """What it does not do, and what was never tried."""
    lines = [
        "TLS ends before the pods: at the Ingress, the gateway or a mesh. Inside the cluster it is plain HTTP.",
        "Metrics and kept requests are each pod's own and go with it: Prometheus is what remembers.",
        "Recovery, re-tuning and drift are the supervisor's, and stay where it was made.",
        *more,
        *notes(cargo),
    ]
    return (
        f"## What this does not do\n\n{bullets(lines)}\n## What was checked\n\n{checked} Never applied to a cluster.\n"
    )
