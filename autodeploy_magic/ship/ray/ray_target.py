"""`ship ray`: the version that serves, as an application of Ray Serve."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.contracts import Report
from autodeploy_magic.errors import InvalidOption, ShipFailed
from autodeploy_magic.ship.base import Cargo, Choice, Written
from autodeploy_magic.ship.ray import ray_local
from autodeploy_magic.ship.ray.application import Wish, owner_of, refuse
from autodeploy_magic.ship.ray.dashboard import Dashboard, cluster_token
from autodeploy_magic.ship.ray.rollout import HTTP, deploy, remove
from autodeploy_magic.ship.ray.scaling import scale
from autodeploy_magic.ship.ray.words import Standing, standing
from autodeploy_magic.store import Store

__all__ = ["Ray"]

LOCAL = "local"


class Ray:
    """A Ray cluster serves it at once: replicas of Ray Serve, that scale with the SLO, behind the same token."""

    choices = (
        Choice("do", "deploy it, tell how it stands, delete it, or end the cluster of this machine", "deploy",
               ("deploy", "status", "stop", "end-local")),
        Choice("address", f"the dashboard, http://HOST:8265; {LOCAL}: a cluster on this machine, started if need be",
               LOCAL),
        Choice("replicas", "the least there are", 2),
        Choice("max_replicas", "the most there are; 0: four times as many, where the SLO promises a latency", 0),
        Choice("cpus", "of each replica, as Ray counts them", 1.0),
        Choice("packages", "cluster: the nodes have what it needs; pip: Ray installs it", "cluster",
               ("cluster", "pip")),
    )  # fmt: skip
    image = "none"
    at_once = True

    def refuse(self, cargo: Cargo) -> None:
        """Raise `InvalidOption` for what a cluster cannot take, and for an address that is none."""
        refuse(cargo.desired)
        if cargo.desired.target == "ray":
            raise InvalidOption(
                f"{cargo.name} is served by a Ray cluster already",
                why="`%%deploy --target ray` put it there, and the supervisor looks after it",
                fix=f"`%deploy status {cargo.name}`, `%deploy scale`, `%deploy stop` are about those replicas",
            )
        if cargo.text("address") != LOCAL:
            Dashboard(cargo.text("address"))
        self._size(cargo)
        if float(cargo.options["cpus"]) <= 0:
            raise InvalidOption(f"cpus is {cargo.options['cpus']}", fix="use 0.5, 1 or more")

    def write(self, cargo: Cargo, folder: Path, report: Report) -> Written:
        """Do it. Nothing is written but, for a deploy, what was declared (application.json)."""
        store = Store(_home(cargo))
        what = cargo.text("do")
        if what == "end-local":
            return Written(notes=("the cluster is ended" if ray_local.stop(store) else "no cluster was started here",))
        dashboard, fresh = self._cluster(cargo, store, report, start=what == "deploy")
        owner = owner_of(store.home)
        if what == "status":
            return Written(notes=_told(standing(dashboard.state(), cargo.name), cargo.name))
        if what == "stop":
            done = remove(dashboard, cargo.name, owner=owner)
            return Written(notes=(f"{cargo.name} is deleted" if done else f"there is no {cargo.name}",))
        least, most = self._size(cargo)
        size = scale(cargo.version, cargo.desired.slo, least, most)
        wish = Wish(least, most, float(cargo.options["cpus"]), cargo.text("packages"), owner)
        url = deploy(
            dashboard, cargo.version, cargo.model, cargo.desired, wish, tuple(store.tokens(cargo.name)), report,
            fresh=fresh,
        )  # fmt: skip
        state = dashboard.state()
        config = state["applications"][cargo.name]["deployed_app_config"]
        (folder / "application.json").write_bytes(msgspec.json.format(msgspec.json.encode(config)) + b"\n")
        count = f"{least} replicas" if least == most else f"{least} to {most} replicas ({size.why})"
        again = f"%deploy ship ray {cargo.name} --set address={dashboard.address}"
        return Written(
            notes=(
                *_told(standing(state, cargo.name), cargo.name),
                f"{count}; requests bring the deployment's token",
                "what its replicas record is fetched with that token at /-/rows; `%%deploy --target ray` does that",
            ),
            next=(f"{again},do=status", f"{again},do=stop"),
            url=url,
        )

    def _size(self, cargo: Cargo) -> tuple[int, int]:
        """The least and the most replicas. Raises `InvalidOption`."""
        least, most = cargo.number("replicas"), cargo.number("max_replicas")
        if not most:
            bare = scale(cargo.version, cargo.desired.slo, least, max(least, 1))
            most = least if bare.by_default else 4 * least
        scale(cargo.version, cargo.desired.slo, least, most)
        return least, most

    def _cluster(self, cargo: Cargo, store: Store, report: Report, *, start: bool) -> tuple[Dashboard, dict[str, Any]]:
        address = cargo.text("address")
        local = ray_local.find(store)
        if address == LOCAL and local is None:
            if not start:
                raise ShipFailed("no Ray cluster was started on this machine", fix="name one: --set address=http://…")
            local = ray_local.start(store, sys.executable, report)
        if local is not None and address in (LOCAL, local.address):
            return Dashboard(local.address, local.token), local.more
        return Dashboard(address, cluster_token()), dict(HTTP)


def _told(found: Standing, name: str) -> tuple[str, ...]:
    """How an application stands, for a person."""
    if found.state == "missing":
        return (f"there is no {name} in the cluster",)
    head = f"{name} v{found.version} is {found.state}: {len(found.running)} of {found.wanted} replicas run"
    lines = [f"replica {one.id} on {one.address}, process {one.pid}: {one.state}" for one in found.replicas]
    return (head + (f" ({found.reason})" if found.reason else ""), *lines)


def _home(cargo: Cargo) -> Path:
    """The state folder that the version lies in: HOME/deployments/NAME/versions/NUMBER."""
    return cargo.record.parents[3]
