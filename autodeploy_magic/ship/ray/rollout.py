"""Declaring an application to a cluster beside the others that are there, waiting until it runs, taking it away.

Ray's REST API is told of all applications at once: whoever is left out is deleted. So what others have declared is read
first and declared again as it was; where it cannot be read, nothing is done. Applications that were made by Ray's own
Python API are not touched by this.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Desired, Progress, Report, Version
from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.ray.application import Wish, application, is_ours, refuse
from autodeploy_magic.ship.ray.dashboard import Dashboard
from autodeploy_magic.ship.ray.words import Standing, standing

__all__ = ["HTTP", "check_free", "declared", "deploy", "remove", "roll_out", "url_of", "wait", "wait_gone"]

HTTP: Mapping[str, Any] = {"http_options": {"host": "0.0.0.0", "port": 8000}}  # noqa: S104 - replicas ask for a token
"""Where Ray's proxies are to listen, for a cluster whose Ray Serve does not run yet: as Ray itself has it."""
LOOK_S = 0.5
GONE_S = 60.0


def deploy(
    dashboard: Dashboard,
    version: Version,
    model: Path,
    desired: Desired,
    wish: Wish,
    tokens: tuple[str, ...],
    report: Report,
    *,
    fresh: Mapping[str, Any] = HTTP,
    within_s: float = 300.0,
) -> str:
    """Have the version run as an application, in place of what the deployment ran before; returns its URL.

    Everything is checked before anything changes. Where it does not come up, what ran before is declared again. Raises
    `ShipFailed` or `InvalidOption`.
    """
    from autodeploy_magic.ship.ray.package import package, uri_of  # the build room, which a supervisor does without

    refuse(desired)
    release = dashboard.version()
    data = package(version, model)
    uri = uri_of(data)
    wanted = application(version, desired, wish, uri=uri, tokens=tokens, release=release)
    check_free(dashboard.state(), wanted)
    report(Progress(step="ship", state="started", detail=f"{len(data):,} bytes to {dashboard.address}"))
    if not dashboard.has(uri):
        dashboard.upload(uri, data)
    roll_out(dashboard, wanted, report, fresh=fresh, within_s=within_s)
    return url_of(dashboard, dashboard.state(), desired.name)


def roll_out(
    dashboard: Dashboard,
    wanted: dict[str, Any],
    report: Report = lambda _: None,
    *,
    fresh: Mapping[str, Any] = HTTP,
    within_s: float = 300.0,
) -> None:
    """Declare the application and wait until it runs; else declare again what there was. Raises `ShipFailed`."""
    name = wanted["name"]
    state = dashboard.state()
    check_free(state, wanted)
    before = state.get("applications", {}).get(name)
    others = declared(state, but=name)
    more = _more(state, fresh)
    dashboard.declare([*others, wanted], more)
    try:
        wait(dashboard, name, wanted, report, within_s=within_s)
    except ShipFailed as error:
        config = before.get("deployed_app_config") if before is not None else None
        again = [config] if config and before.get("status") in ("RUNNING", "DEPLOYING", "UNHEALTHY") else []
        dashboard.declare([*declared(dashboard.state(), but=name), *again], more)
        version = (config or {}).get("args", {}).get("version") if again else None
        error.why += f"\nv{version} is declared again, as it was" if version else ""
        raise


def remove(dashboard: Dashboard, name: str, *, owner: str = "", within_s: float = GONE_S) -> bool:
    """Delete the application and wait until its replicas are gone; false where there was none. Raises `ShipFailed`.

    Ray Serve itself ends with the last application, if that is ours.
    """
    state = dashboard.state()
    found = state.get("applications", {}).get(name)
    if found is None:
        return False
    _check_ours(found, name, owner)
    others = declared(state, but=name)
    alone = set(state["applications"]) == {name}
    if alone:
        dashboard.clear()
    else:
        dashboard.declare(others, _more(state, HTTP))
    wait_gone(dashboard, name, within_s=within_s)
    return True


def check_free(state: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise `ShipFailed` where the application's name or its path belongs to somebody else."""
    name, owner = wanted["name"], wanted["args"]["owner"]
    for other, found in state.get("applications", {}).items():
        if other == name:
            _check_ours(found, name, owner)
        elif found.get("route_prefix") == wanted["route_prefix"] and found.get("status") != "DELETING":
            raise ShipFailed(
                f"the path {wanted['route_prefix']} of that cluster belongs to the application {other!r}",
                fix="deploy under another name",
            )


def declared(state: Mapping[str, Any], *, but: str) -> list[dict[str, Any]]:
    """What has been declared to the cluster, as it must be declared again, without the application `but`.

    Raises `ShipFailed` where that cannot be read whole.
    """
    kept = []
    for name, found in state.get("applications", {}).items():
        if name == but or found.get("status") == "DELETING" or found.get("source") == "imperative":
            continue
        config = found.get("deployed_app_config")
        if not isinstance(config, dict) or _hidden(config):
            raise ShipFailed(
                f"the cluster runs the application {name!r}, and does not tell how it was declared",
                why="Ray is told of all applications at once: declaring ours without it would delete it",
                fix="ask who runs that cluster, or use one of your own",
            )
        kept.append(config)
    return kept


def wait(
    dashboard: Dashboard, name: str, wanted: Mapping[str, Any], report: Report = lambda _: None, *, within_s: float
) -> Standing:
    """Wait until the application runs as it was declared. Raises `ShipFailed` with what Ray says of it."""
    until = time.monotonic() + within_s
    told = ""
    while True:
        state = dashboard.state()
        found = standing(state, name)
        said = f"{name}: {found.state}" + (f", {found.reason.splitlines()[0]}" if found.reason else "")
        if said != told:
            told = said
            report(Progress(step="ship", state="started", detail=said[:300]))
        config = state.get("applications", {}).get(name, {}).get("deployed_app_config") or {}
        current = config.get("args", {}) == wanted["args"]
        if current and found.state == "running":
            return found
        if (current and found.state == "failed") or found.state in ("missing", "deleting"):
            raise ShipFailed(
                f"{name} v{wanted['args']['version']} does not run in the Ray cluster",
                why=found.reason,
                fix=f"the dashboard at {dashboard.address} has its logs",
            )
        if time.monotonic() > until:
            raise ShipFailed(
                f"{name} v{wanted['args']['version']} did not run within {within_s:g} s in the Ray cluster",
                why=found.reason or found.state,
                fix="give the cluster more CPUs or ask for fewer (cpus=0.5, replicas=2), and look at its dashboard",
            )
        _pause(LOOK_S)


def wait_gone(dashboard: Dashboard, name: str, *, within_s: float = GONE_S) -> None:
    """Wait until nothing of the application is left. Raises `ShipFailed`."""
    until = time.monotonic() + within_s
    while standing(dashboard.state(), name).state != "missing":
        if time.monotonic() > until:
            raise ShipFailed(
                f"{name} is still being deleted after {within_s:g} s", fix=f"look at the dashboard, {dashboard.address}"
            )
        _pause(LOOK_S)


def url_of(dashboard: Dashboard, state: Mapping[str, Any], name: str) -> str:
    """Where the application answers: at Ray's proxy on the host of the dashboard. "" where it has no path yet."""
    found = state.get("applications", {}).get(name)
    if found is None or not found.get("route_prefix"):
        return ""
    options = state.get("http_options") or HTTP["http_options"]
    host = f"[{dashboard.host}]" if ":" in dashboard.host else dashboard.host
    return f"http://{host}:{options.get('port', 8000)}{found['route_prefix']}"


def _check_ours(found: Mapping[str, Any], name: str, owner: str) -> None:
    if not is_ours(found):
        raise ShipFailed(
            f"the cluster has an application {name!r} that is not this package's",
            why="it would be replaced",
            fix="deploy under another name",
        )
    theirs = (found.get("deployed_app_config") or {}).get("args", {}).get("owner", "")
    if owner and theirs and theirs != owner:
        raise ShipFailed(
            f"the application {name!r} of that cluster was deployed by somebody else",
            why="from another state folder; it would be replaced",
            fix="deploy under another name",
        )


def _more(state: Mapping[str, Any], fresh: Mapping[str, Any]) -> dict[str, Any]:
    """What else is declared with the applications: as it is now; `fresh` where Ray Serve does not run."""
    options = state.get("http_options")
    if not options:
        return dict(fresh)
    more: dict[str, Any] = {"http_options": {key: options[key] for key in ("host", "port") if key in options}}
    if state.get("proxy_location"):
        more["proxy_location"] = state["proxy_location"]
    if state.get("target_capacity") is not None:
        more["target_capacity"] = state["target_capacity"]
    return more


def _hidden(value: Any) -> bool:
    """Whether some of it was replaced by a placeholder, as Ray does with environment variables for browsers."""
    if isinstance(value, dict):
        return any(_hidden(one) for one in value.values())
    if isinstance(value, list):
        return any(_hidden(one) for one in value)
    return bool(value == "<redacted>")


_pause: Callable[[float], None] = time.sleep
"""Between two looks at a cluster, which tells nobody when something has changed."""
