"""What the supervisor writes down of itself and of the workers that run."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from autodeploy_magic.contracts import SCHEMA, Record, WorkerState

__all__ = ["API", "Runtime", "SupervisorInfo", "package_version"]

API = 3
"""The version of the calls. A client and a supervisor of different numbers do not talk."""


class Runtime(Record, frozen=True, kw_only=True):
    """The workers of a deployment that were last seen, of all its generations. Kept in `runtime.json`.

    `generation` is the one that serves; others are draining. `control` is the folder of the workers' control sockets,
    written down because another process may see another runtime folder in its environment.
    """

    schema: int = SCHEMA
    name: str
    generation: int
    workers: tuple[WorkerState, ...] = ()
    control: str = ""


class SupervisorInfo(Record, frozen=True, kw_only=True):
    """How to reach the supervisor that runs. Kept in `supervisor.json`, for its owner alone: it holds the token."""

    schema: int = SCHEMA
    pid: int
    create_time: float
    boot_id: str
    socket: str
    token: str
    version: str
    api: int = API


def package_version() -> str:
    """The version of this package that runs; "0" in a checkout that was never installed."""
    try:
        return version("autodeploy_magic")
    except PackageNotFoundError:
        return "0"
