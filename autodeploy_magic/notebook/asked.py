"""What a deploy was asked for, and what of it is refused before anything is run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from autodeploy_magic import settings
from autodeploy_magic.address import check_open
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.health import Recovery
from autodeploy_magic.notebook import recording
from autodeploy_magic.notebook.cell import missing_sample
from autodeploy_magic.notebook.recovery import check_mode
from autodeploy_magic.notebook.traffic import share_of
from autodeploy_magic.registry import need
from autodeploy_magic.shipping import check_containers
from autodeploy_magic.slo import parse
from autodeploy_magic.store import Store, check_name
from autodeploy_magic.tls import AUTO, chosen, made_files

__all__ = ["Format", "Order", "Place", "check", "check_access", "check_beside", "check_place"]

Format = Literal["auto", "onnx", "native"]
Place = Literal["local", "container", "ray"]


@dataclass(frozen=True)
class Order:
    """Everything a deploy was asked for."""

    name: str
    model: Any
    sample: Any
    labels: Any = None
    file: str | os.PathLike[str] | None = None
    allow_pickle: bool = False
    format: Format = "auto"
    workers: int | None = None
    port: int | None = None
    auth: bool | None = None
    tls: str | None = None
    grpc: bool | None = None
    slo: str | None = None
    recovery: Recovery | None = None
    target: Place | None = None
    address: str | None = None
    canary: float | str | None = None
    shadow: bool = False
    note: str = ""
    record: str | None = None
    record_share: float | str | None = None
    record_drop: str | None = None
    record_hash: str | None = None
    code: Mapping[str, Callable[..., Any]] | None = None
    namespace: Mapping[str, Any] | None = None
    typed: str = ""


def check_access(store: Store, name: str, auth: bool | None, tls: str | None) -> None:
    """Refuse a port that would be open to others, and a certificate that cannot serve, before anything is run."""
    before = store.desired(name) if store.exists(name) else None
    asks = before is None or before.auth if auth is None else auth
    if not asks:
        check_open(str(settings.get("host")) if before is None else before.host, str(settings.get("hosts")))
    if tls and chosen(tls) == AUTO and not made_files(store.tls_folder(name))[0].exists():
        need("cryptography", "a certificate that is made here (--tls)")


def check_beside(store: Store, name: str, canary: float | str | None, *, shadow: bool) -> None:
    """Refuse a canary or a shadow that nothing serves beside, before anything is run."""
    if canary is not None:
        share_of(canary)
    if canary is None and not shadow:
        return
    if canary is not None and shadow:
        raise InvalidOption(
            "a version cannot be canary and shadow at once",
            why="a shadow's answers are thrown away, a canary's are given",
            fix="use --canary or --shadow",
        )
    if not store.exists(name) or store.desired(name).state == "stopped":
        raise InvalidOption(
            f"{name} has no champion that serves, and so nothing to try a version beside",
            fix=f"deploy it without --canary and --shadow first, or start it with `%deploy start {name}`",
        )


def check(order: Order) -> None:
    """Refuse what cannot work before anything is built."""
    check_name(order.name)
    parse(str(settings.get("slo")) if order.slo is None else order.slo)
    if order.recovery is not None:
        check_mode(order.recovery)
    if order.allow_pickle and order.file is None:
        raise InvalidOption(
            "--allow-pickle goes with --file",
            why="an object of this kernel is here already: nothing is read that could run code",
            fix="leave it out",
        )
    if order.workers is not None and order.workers < 1:
        raise InvalidOption(f"--workers {order.workers} is not a number of processes", fix="use 1 or more")
    if order.port is not None and not 1 <= order.port <= 65535:
        raise InvalidOption(f"--port {order.port} is not a port", fix="use 1024 to 65535, or leave it out")
    whole = {"workers": order.workers, "port": order.port, "auth": order.auth, "tls": order.tls, "grpc": order.grpc}
    whole |= {"slo": order.slo, "recovery": order.recovery, "target": order.target, "address": order.address}
    whole |= recording.typed(order)
    given = [f"--{name.replace('_', '-')}" for name, value in whole.items() if value is not None]
    if given and (order.canary is not None or order.shadow):
        raise InvalidOption(
            f"{given[0]} is for the whole deployment, and --{'shadow' if order.shadow else 'canary'} changes no more"
            " than who answers",
            fix=f"leave {given[0]} out, or deploy without the other",
        )
    check_place(order.target, order.address)
    if order.grpc:
        need("h2", "the gRPC port (--grpc)")
    if order.sample is None:
        raise missing_sample(order.name, order.model, order.namespace or {}, order.typed)


def check_place(target: str | None, address: str | None) -> None:
    """Refuse a place that there is not, and an address that belongs to none. Raises `InvalidOption`."""
    places = get_args(Place)
    if target is not None and target not in places:
        raise InvalidOption(f"--target {target} is no place to serve from", fix=f"use one of {', '.join(places)}")
    if address and target != "ray":
        raise InvalidOption("--address goes with --target ray", why="it is the address of a Ray cluster's dashboard")
    if target == "container":
        check_containers()
