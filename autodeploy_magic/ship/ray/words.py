"""What Ray Serve says of an application, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from autodeploy_magic.ship.ray.application import MODEL

__all__ = ["Replica", "Standing", "standing"]

State = Literal["missing", "starting", "running", "degraded", "failed", "deleting"]

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_CAUSE = re.compile(r"^\S*(?:Error|Failed|Exception|InvalidOption|ArtifactChanged|MissingPackage)\b.*", re.MULTILINE)
_LONGEST = 2000


@dataclass(frozen=True)
class Replica:
    """A replica: `state` is Ray's word ("STARTING", "RUNNING", …). `pid` is 0 until it has a process."""

    id: str
    state: str
    pid: int
    node: str
    address: str
    since: float


@dataclass(frozen=True)
class Standing:
    """How an application stands. `state` is "missing" where the cluster has none of that name."""

    state: State
    reason: str = ""
    version: int = 0
    replicas: tuple[Replica, ...] = ()
    wanted: int = 0

    @property
    def running(self) -> tuple[Replica, ...]:
        """The replicas that answer."""
        return tuple(one for one in self.replicas if one.state == "RUNNING")


def standing(state: Mapping[str, Any], name: str) -> Standing:
    """How the application `name` stands, from what `Dashboard.state` returned."""
    found = state.get("applications", {}).get(name)
    if found is None:
        return Standing("missing")
    config = found.get("deployed_app_config") or {}
    version = int((config.get("args") or {}).get("version", 0))
    deployment = found.get("deployments", {}).get(MODEL, {})
    replicas = tuple(_replica(one) for one in deployment.get("replicas", ()))
    wanted = int(deployment.get("target_num_replicas") or 0)
    said = _said(found, deployment)
    word, reason = _judged(str(found.get("status")), str(deployment.get("status")), said, replicas, wanted)
    return Standing(word, reason, version, replicas, wanted)


def _judged(status: str, health: str, said: str, replicas: tuple[Replica, ...], wanted: int) -> tuple[State, str]:
    """Our word for Ray's, and why."""
    match status:
        case "RUNNING":
            return ("running", "") if health == "HEALTHY" or not said else ("degraded", said)
        case "DEPLOYING" | "NOT_STARTED":
            running = sum(one.state == "RUNNING" for one in replicas)
            return "starting", said or f"{running} of {wanted} replicas run"
        case "DEPLOY_FAILED":
            return "failed", said or "it could not be deployed"
        case "UNHEALTHY":
            return "degraded", said or "a replica is not healthy"
        case "DELETING":
            return "deleting", "it is being taken away"
    return "degraded", f"Ray calls it {status}: {said}"


def _replica(one: Mapping[str, Any]) -> Replica:
    return Replica(
        id=str(one.get("replica_id", "")),
        state=str(one.get("state", "")),
        pid=int(one.get("pid") or 0),
        node=str(one.get("node_id") or ""),
        address=str(one.get("node_ip") or ""),
        since=float(one.get("start_time_s") or 0.0),
    )


def _said(found: Mapping[str, Any], deployment: Mapping[str, Any]) -> str:
    """What Ray says, without its tracebacks where they end in an error that has words."""
    texts = [_ANSI.sub("", str(one.get("message") or "")).strip() for one in (found, deployment)]
    text = max(texts, key=len)
    causes = list(_CAUSE.finditer(text))
    if causes:
        text = text[causes[-1].start() :].removeprefix("autodeploy_magic.errors.")
    if "to be scheduled" in text and "resources" in text.lower():
        text = f"the cluster has no room for a replica: {text}"
    return text[-_LONGEST:]
