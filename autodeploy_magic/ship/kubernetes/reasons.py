"""The options of these targets, and what is refused before anything is written."""

from __future__ import annotations

import re

from autodeploy_magic.errors import InvalidOption, ShipFailed
from autodeploy_magic.ship.base import Cargo, Choice
from autodeploy_magic.ship.kubernetes.manifests import described, environment, left_out
from autodeploy_magic.ship.kubernetes.network import door
from autodeploy_magic.ship.kubernetes.quantities import check_quantity, quantity
from autodeploy_magic.ship.kubernetes.sizing import sized
from autodeploy_magic.ship.rules import slo_notes
from autodeploy_magic.ship.text import check_host, check_namespace, check_reference
from autodeploy_magic.shipping import PORT

__all__ = ["CHOICES", "SIZES", "digest_of", "namespace_of", "notes", "refuse", "repository", "tag_of"]

SIZES = (
    Choice("namespace", "namespace it runs in; empty: the deployment's name"),
    Choice("replicas", "fewest pods", 2),
    Choice("max_replicas", "most pods", 10),
    Choice("cpu", "CPU request of a pod, such as 500m; empty: computed from what one row took"),
    Choice("memory", "memory request and limit of a pod, such as 256Mi; empty: computed from what the image took"),
    Choice(
        "storage", "where the pod's temporary folder is: on the node's disk, or in memory", "disk", ("disk", "memory")
    ),
)

CHOICES = (
    *SIZES,
    Choice("scaling", "what adds pods: CPU (hpa), requests a second (keda), nothing", "hpa", ("hpa", "keda", "none")),
    Choice("host", "host name that it is reached by from outside"),
    Choice("ingress", "how; auto: an Ingress where there is a host", "auto", ("auto", "none", "ingress", "gateway")),
    Choice("ingress_class", "class of the Ingress", "nginx"),
    Choice("ingress_namespace", "namespace of the ingress controller, or of the gateway's pods", "ingress-nginx"),
    Choice("gateway", "Gateway of the HTTPRoute, NAMESPACE/NAME", "gateway"),
    Choice("monitoring", "ServiceMonitor and alerts for the Prometheus Operator", "yes", ("yes", "no")),
    Choice("monitoring_namespace", "namespace of Prometheus", "monitoring"),
    Choice("prometheus", "address that KEDA asks", "http://prometheus-operated.monitoring.svc:9090"),
)

_LONGEST_NAMESPACE = 63 - len("-staging")
_MOST_REPLICAS = 1000
_ADDRESS = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?")
_DIGEST = re.compile(r"@(sha256:[0-9a-f]{64})$")


def refuse(cargo: Cargo, target: str) -> None:
    """Raise `InvalidOption` or `ShipFailed` for what cannot become good manifests."""
    check_reference(cargo.need_image(target))
    image = cargo.image
    if image is not None and image.flavour == "bento" and cargo.reference == image.name:
        raise ShipFailed(
            f"{target} needs a lean image, and {image.name} is BentoML's own",
            why="it asks for no token, and has neither our metrics nor our graceful stop",
            fix=f"`%deploy containerize {cargo.name} --flavour lean`; or --image names another",
        )
    _options(cargo)
    described(cargo)  # a note, and settings, with what no line may hold
    environment(cargo, sized(cargo), port=PORT, hosts="")
    size = sized(cargo)
    if quantity(size.memory) > quantity(size.memory_limit):
        raise InvalidOption(f"memory is {size.memory}, more than its limit, {size.memory_limit}", fix="use more")


def _options(cargo: Cargo) -> None:
    namespace = check_namespace(namespace_of(cargo))
    if len(namespace) > _LONGEST_NAMESPACE:
        raise InvalidOption(
            f"{namespace!r} is too long for a namespace here",
            why="-staging is added to it, and a name has at most 63 characters",
            fix=f"use at most {_LONGEST_NAMESPACE} characters",
        )
    least, most = cargo.number("replicas"), cargo.number("max_replicas")
    if not 1 <= least <= most <= _MOST_REPLICAS:
        raise InvalidOption(
            f"replicas are {least}, and at most {most}",
            why=f"they are from 1 to {_MOST_REPLICAS}, and no more than max_replicas",
            fix="such as replicas=2,max_replicas=10",
        )
    if cargo.text("cpu"):
        check_quantity(cargo.text("cpu"), "cpu", example="500m", least="10m", most="512")
    if cargo.text("memory"):
        check_quantity(cargo.text("memory"), "memory", example="256Mi", least="32Mi", most="16Ti")
    if "host" not in cargo.options:
        return
    if cargo.text("host"):
        check_host(cargo.text("host"))
    elif door(cargo) != "none":
        raise InvalidOption(f"{door(cargo)} needs the name of a host", fix="such as host=iris.example.com")
    for name in ("ingress_namespace", "monitoring_namespace"):
        check_namespace(cargo.text(name))
    check_host(cargo.text("ingress_class"))
    place, _, gateway = cargo.text("gateway").rpartition("/")
    check_host(gateway)
    if place:
        check_namespace(place)
    _address(cargo.text("prometheus"))


def _address(value: str) -> None:
    if not _ADDRESS.fullmatch(value):
        raise InvalidOption(
            f"prometheus is {value!r}",
            why="it has to be an address without a password",
            fix="such as http://prometheus-operated.monitoring.svc:9090",
        )


def namespace_of(cargo: Cargo) -> str:
    """The namespace that it runs in."""
    return cargo.text("namespace") or cargo.name


def repository(reference: str) -> str:
    """A reference without its tag and digest."""
    bare = _DIGEST.sub("", reference)
    head, slash, last = bare.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def digest_of(reference: str) -> str:
    """The digest that a reference names, or ""."""
    found = _DIGEST.search(reference)
    return found[1] if found else ""


def tag_of(reference: str) -> str:
    """The tag that a reference names; "latest", as engines have it, where it names none."""
    return _DIGEST.sub("", reference).rpartition("/")[2].partition(":")[2] or "latest"


def notes(cargo: Cargo) -> tuple[str, ...]:
    """What is good to know of what was written."""
    found = list(sized(cargo).assumed)
    if not digest_of(cargo.reference):
        found.append(f"{cargo.reference} is a tag, which can move: README.md says how to push it and name its digest")
    gone = left_out(cargo)
    if gone:
        found.append(f"{', '.join(gone)}: left out: a path means nothing there, and an address may hold a secret")
    if cargo.options.get("monitoring") == "yes":
        found += slo_notes(cargo)
    return tuple(found)
