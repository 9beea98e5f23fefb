"""What a handle has for the way out of the notebook: images, files for other places, a log in MLflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodeploy_magic import settings
from autodeploy_magic.errors import InvalidOption, ShipCancelled
from autodeploy_magic.notebook.progress import timed
from autodeploy_magic.notebook.shipped import ShownCancelled, ShownImage, ShownShipped, ShownTargets
from autodeploy_magic.registry import load, table
from autodeploy_magic.shipping import Image, Shipment, Shipped, Wanted

if TYPE_CHECKING:
    from autodeploy_magic.contracts import Report, Version
    from autodeploy_magic.notebook.mlflow import LoggedModel
    from autodeploy_magic.store import Store
    from autodeploy_magic.supervisor.client import Supervisor

__all__ = ["Shipping"]

_HINT = "interrupt the kernel to cancel it"


class Shipping:
    """The part of `Deployment` that takes what serves elsewhere."""

    name: str
    _store: Store

    if TYPE_CHECKING:

        @property
        def version(self) -> int: ...

        @property
        def _supervisor(self) -> Supervisor: ...

        def _version(self, number: int) -> Version: ...

        def _reported(self, title: str, job: Callable[[Any], Any], hint: str = "") -> Any: ...

    def containerize(
        self,
        engine: str | None = None,
        flavour: str | None = None,
        base: str | None = None,
        tag: str | None = None,
        platform: str | None = None,
        to: str | None = None,
        cancel: bool = False,
    ) -> ShownImage | ShownCancelled:
        """Build an image of the version that serves, start it once, and hold its answers to the sample's.

        `engine` is docker, podman, nerdctl, buildah or buildctl, by default the first that answers; "archive" writes an
        OCI archive into the folder `to`, and needs none. `flavour` is "lean" or "bento". `base` is what a lean image
        stands on: a reference, or the path of an archive. An interrupt cancels it; with `cancel`, what is being built
        or shipped of this deployment is cancelled, wherever it was begun. Raises `ShipFailed` (`ShipCancelled` where it
        was cancelled) or `InvalidOption`; nothing is then left.
        """
        if cancel:
            return self._cancelled(
                {"engine": engine, "flavour": flavour, "base": base, "tag": tag, "platform": platform, "to": to}
            )
        if flavour not in (None, "lean", "bento"):
            raise InvalidOption(f"there is no flavour {flavour!r}", fix="use lean or bento")
        there = base and Path(base).expanduser()
        wanted = Wanted(
            engine=engine or str(settings.get("image_engine")),
            flavour=flavour or "",  # type: ignore[arg-type]  # it is one of the words
            base=str(there.absolute()) if there and there.exists() else base or str(settings.get("image_base")),
            tag=tag or "",
            platform=platform or "",
            folder=str(Path(to or ".").expanduser().absolute()),
        )
        image: Image = self._until_interrupted(
            "containerize", lambda report: self._supervisor.containerize(self.name, wanted, report)
        )
        return ShownImage(image)

    def ship(
        self,
        target: str | None = None,
        to: str | None = None,
        image: str | None = None,
        set_: str | Mapping[str, Any] | None = None,
        replace: bool = False,
        github: bool = False,
        gitlab: bool = False,
        jenkins: bool = False,
        cancel: bool = False,
    ) -> ShownShipped | ShownTargets | ShownCancelled:
        """Write what another place needs to serve this version, into the folder `to` (default NAME-TARGET here).

        `target` is one of `ship()`'s list: "kubernetes", "edge", "ci", …; `set_` are its own options, as a dict or as
        "replicas=3,namespace=ml"; `image` is named there in place of the one built last. With `replace` what was
        shipped there before gives way, unless somebody changed it since. An interrupt cancels it, and so does `cancel`,
        as that of `containerize`. Raises `ShipFailed` or `InvalidOption`.
        """
        if cancel:
            return self._cancelled(
                {"target": target, "to": to, "image": image, "set": set_, "replace": replace or None}
            )
        if target is None:
            return ShownTargets(self.name, {name: load(reference) for name, reference in table("targets").items()})
        options = _options(set_)
        systems = [name for name, on in (("github", github), ("gitlab", gitlab), ("jenkins", jenkins)) if on]
        if systems and (target != "ci" or len(systems) > 1):
            raise InvalidOption(
                f"--{' --'.join(systems)} do not go together" if target == "ci" else f"--{systems[0]} is of ci alone",
                fix="ship one pipeline at a time: `ship ci --github`",
            )
        shipment = Shipment(
            target=target,
            folder=str(Path(to or f"{self.name}-{target}").expanduser().absolute()),
            image=image or "",
            options=options | ({"system": systems[0]} if systems else {}),
            replace=replace,
        )
        shipped: Shipped = self._until_interrupted(
            f"ship {target}", lambda report: self._supervisor.ship(self.name, shipment, report)
        )
        return ShownShipped(shipped)

    def _cancelled(self, others: Mapping[str, Any]) -> ShownCancelled:
        """End what is under way. Raises `InvalidOption` where nothing is, or other options were given besides."""
        given = next((name for name, value in others.items() if value is not None), "")
        if given:
            raise InvalidOption(f"--cancel and --{given} do not go together", fix="use one of them")
        return ShownCancelled(self._supervisor.cancel_shipping(self.name))

    def _until_interrupted(self, title: str, call: Callable[[Report], Any]) -> Any:
        """Wait for a job, and tell of it. Raises what `call` does; an interrupt cancels it: then `ShipCancelled`."""

        def wait(report: Report) -> Any:
            try:
                return call(report)
            except KeyboardInterrupt:
                with timed(report, "cancel"):
                    ended = self._supervisor.cancel_shipping(self.name)
                raise ShipCancelled(
                    f"{ended.title} was cancelled",
                    why=f"it was interrupted after {ended.after_s:.1f} s; nothing is left of it",
                    fix="the same line begins it anew",
                ) from None

        return self._reported(title, wait, _HINT)

    def mlflow(self, run: str | None = None, register: str | None = None, tracking: str | None = None) -> LoggedModel:
        """Log the version that serves to MLflow, as a model that answers the same where this package is not installed.

        It goes into `run`, the active run, or a new one; `register` also names it in the model registry; `tracking` is
        the server's address, for this call alone. Raises `ShipFailed`, or `MissingPackage` without MLflow.
        """
        from autodeploy_magic.notebook.mlflow import logged

        return logged(self._store, self._version(self.version), run, register, tracking)


def _options(typed: str | Mapping[str, Any] | None) -> dict[str, str]:
    """A target's options, as they were typed. Raises `InvalidOption`."""
    if typed is None:
        return {}
    if isinstance(typed, Mapping):
        words = {True: "yes", False: "no"}
        return {str(name): words[value] if isinstance(value, bool) else str(value) for name, value in typed.items()}
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in typed.split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            raise InvalidOption(f"--set {part!r} has no value", fix="write NAME=VALUE, with commas between several")
        found[name.strip()] = value.strip()
    return found
