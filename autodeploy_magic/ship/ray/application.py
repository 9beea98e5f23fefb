"""One deployment as an application of Ray Serve: what is declared to the cluster."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autodeploy_magic import settings
from autodeploy_magic.contracts import Desired, Version
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.formats import format_of
from autodeploy_magic.settings import of_workers
from autodeploy_magic.ship.ray.distributions import distributions, pins
from autodeploy_magic.ship.ray.scaling import scale

__all__ = ["APP", "MODEL", "Wish", "application", "is_ours", "owner_of", "refuse"]

APP = "autodeploy_magic.serve.ray_app:builder"
"""What the cluster imports; it tells our applications from others, too."""
MODEL = "model"
"""The name of the one deployment in an application."""
SURGE = (2, 60)
"""The release of Ray that can start a new replica before it stops an old one, for all that is known here."""
_NOT_THERE = ("home", "host", "hosts")
_FETCHED = ("record", "record_requests", "record_share", "record_drop", "record_hash")
"""What is recorded of requests is told to replicas that a keeper fetches it from."""
_KEPT_HERE = ("record_days", "record_bytes")
"""Of what was fetched."""


@dataclass(frozen=True)
class Wish:
    """How an application is to run. `most` replicas of 0 are four times `least`. `cpus` are for each replica.

    `packages` is "cluster" where the nodes have what the version needs, "pip" where Ray is to install it. `owner` tells
    whose it is among several people's.
    `keeper` is the digest of the secret that fetches what is recorded of requests; "": nothing is recorded.
    """

    least: int = 2
    most: int = 0
    cpus: float = 1.0
    packages: str = "cluster"
    owner: str = ""
    keeper: str = ""


def refuse(desired: Desired) -> None:
    """Raise `InvalidOption` for what a cluster cannot take, before any work."""
    name = desired.name
    if not desired.auth:
        raise InvalidOption(
            f"{name} asks for no token, and a Ray cluster is reached from other machines",
            fix="deploy it without --no-auth",
        )
    if desired.tls or desired.grpc:
        what = "--tls" if desired.tls else "--grpc"
        raise InvalidOption(
            f"{name} is served with {what}, and Ray's own proxy stands before the replicas",
            why="it speaks plain HTTP; TLS belongs to what stands before the cluster",
            fix=f"deploy it without {what}",
        )
    if desired.traffic.versions:
        raise InvalidOption(
            f"{name} gives traffic to versions beside its champion, and a Ray application serves one",
            fix=f"`%deploy promote {name}`, or end the trial",
        )


def application(
    version: Version, desired: Desired, wish: Wish, *, uri: str, tokens: Iterable[str], release: str
) -> dict[str, Any]:
    """The application, as JSON values. `uri` is the package of its files; `release` the cluster's Ray.

    Of the tokens only digests are in it, in what a change of them does not restart a replica for. Raises as `refuse`,
    and `InvalidOption`.
    """
    from autodeploy_magic.wire.digests import token_digest

    refuse(desired)
    size = scale(version, desired.slo, wish.least, wish.most or 4 * wish.least)
    surges = _release(release) >= SURGE
    if size.least < 2 and not surges:
        raise InvalidOption(
            f"{desired.name} would have one replica, and an update of it would interrupt it",
            why=f"Ray {release} stops an old replica before it starts a new one",
            fix="use two replicas or more",
        )
    pickled = format_of(version.format).runtime not in ("onnx", "transformers-onnx") or any(
        artifact.role == "code" for artifact in version.artifacts
    )
    left_out = (*_NOT_THERE, *_KEPT_HERE, *(() if wish.keeper else _FETCHED))
    given = {key: value for key, value in of_workers(desired.settings).items() if key not in left_out}
    environment: dict[str, Any] = {"working_dir": uri}
    if wish.packages == "pip":
        environment["pip"] = {"packages": pins(version), "pip_check": False}
    deployment = {
        "name": MODEL,
        **size.config(),
        "user_config": {
            "digests": sorted(token_digest(token.encode()) for token in tokens),
            **({"keeper": wish.keeper} if wish.keeper else {}),
        },
        "ray_actor_options": {"num_cpus": wish.cpus},
        "graceful_shutdown_wait_loop_s": 0.5,
        "graceful_shutdown_timeout_s": max(_number(given, "request_timeout_s"), _number(given, "drain_s")) + 5.0,
        "health_check_period_s": 2.0,
        "health_check_timeout_s": 10.0,
        "logging_config": {"enable_access_log": False},
    }
    if size.least < 2:
        deployment["max_surge_percent"] = 100
    return {
        "name": desired.name,
        "route_prefix": f"/{desired.name}",
        "import_path": APP,
        "runtime_env": environment,
        "args": {
            "name": desired.name,
            "version": version.number,
            "digest": version.digest,
            "owner": wish.owner,
            "python": ".".join(version.environment.python.split(".")[:2]) if pickled else "",
            "distributions": {} if wish.packages == "pip" else distributions(version),
            "threads": int(_number(given, "threads")) or max(1, int(wish.cpus)),
            "settings": given,
            **({"records": True} if wish.keeper else {}),
        },
        "deployments": [deployment],
    }


def owner_of(home: Path) -> str:
    """What tells the applications of one state folder from those of another, and nothing of where it is."""
    return hashlib.sha256(f"{socket.gethostname()}:{os.getuid()}:{home}".encode()).hexdigest()[:16]


def is_ours(one: Mapping[str, Any]) -> bool:
    """Whether an application that the cluster tells of is one of this package's."""
    config = one.get("deployed_app_config") or {}
    return bool(config.get("import_path") == APP)


def _number(given: Mapping[str, Any], name: str) -> float:
    return float(given.get(name, settings.get(name)))


def _release(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())
