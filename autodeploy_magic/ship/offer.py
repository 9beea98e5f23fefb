"""What there is to choose from before a version is shipped: the targets with their options, as a form shows them."""

from __future__ import annotations

import inspect
import logging
from typing import Any, Literal, cast

import msgspec

from autodeploy_magic.registry import load, table
from autodeploy_magic.ship.base import Choice
from autodeploy_magic.ship.kept import image_of
from autodeploy_magic.shipping import Offer, OfferedOption, OfferedTarget
from autodeploy_magic.store import Store

__all__ = ["offer", "run"]

log = logging.getLogger(__name__)

_KINDS: dict[type, Literal["text", "whole", "number", "yes_no"]] = {bool: "yes_no", int: "whole", float: "number"}


def run(spec: dict[str, Any]) -> dict[str, Any]:
    """The `Offer` of the deployment `spec["name"]` in the state folder `spec["home"]`: a job's whole work."""
    return cast(dict[str, Any], msgspec.to_builtins(offer(Store(spec["home"]), str(spec["name"]))))


def offer(store: Store, name: str) -> Offer:
    """Where the version of `name` that serves can go. Raises `UnknownDeployment` or `UnknownVersion`."""
    version = store.version(name, store.desired(name).version)
    image = image_of(store, name, version.number)
    targets: list[OfferedTarget] = []
    broken: list[str] = []
    for target, reference in table("targets").items():
        try:
            targets.append(_offered(target, load(reference)))
        except Exception as error:  # somebody else's package: the others can be used all the same
            log.exception("the target %s cannot be used", target)
            broken.append(f"{target} ({reference}): {type(error).__name__}: {error}")
    return Offer(
        deployment=name,
        version=version.number,
        image=image.name if image is not None else "",
        targets=tuple(targets),
        broken=tuple(broken),
    )


def _offered(name: str, target: Any) -> OfferedTarget:
    """What a target's class says of itself; `ship.base.Target` has what may be left out."""
    return OfferedTarget(
        name=name,
        about=(inspect.getdoc(target) or "").split("\n", maxsplit=1)[0],
        options=tuple(_option(choice) for choice in target.choices),
        image=getattr(target, "image", "named"),
        at_once=getattr(target, "at_once", False),
    )


def _option(choice: Choice) -> OfferedOption:
    words = {True: "yes", False: "no"}
    return OfferedOption(
        name=choice.name,
        help=choice.help,
        kind=_KINDS.get(type(choice.default), "text"),
        default=words[choice.default] if isinstance(choice.default, bool) else str(choice.default),
        choices=choice.choices,
        required=choice.required,
    )
