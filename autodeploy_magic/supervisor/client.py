"""The supervisor as others see it. It needs nothing that is not loaded anyway: HTTP is the standard library's."""

from __future__ import annotations

import builtins
import contextlib
import re
import socket
import threading
from collections.abc import Generator, Iterable
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from autodeploy_magic.contracts import CleanRunner, Desired, Progress, Report, Status
from autodeploy_magic.errors import InvalidOption, SupervisorFailed, from_payload
from autodeploy_magic.health import Drill, Health, Incident
from autodeploy_magic.live import Activity, Event, Glance, Message, Probe, Series, View
from autodeploy_magic.retuning import Order, Retune
from autodeploy_magic.shipping import Cancelled, Image, Offer, Shipment, Shipped, Wanted
from autodeploy_magic.store import Store

if TYPE_CHECKING:
    from autodeploy_magic.supervisor.records import SupervisorInfo

__all__ = ["PAGE_CALLS", "Supervisor", "connect"]

SILENCE_S = 20.0
"""A supervisor says something every two seconds while it works. One that is silent for this long hangs."""

_NAME = "/deployments/[a-z0-9-]+"
PAGE_CALLS = tuple(
    (method, re.compile(pattern))
    for method, pattern in (
        ("GET", "/ping|/glances|/deployments"),
        ("GET", f"{_NAME}(/(view|series|events|logs|health|unlabelled|repro|targets|retunes(/[a-z0-9]+)?))?"),
        ("POST", f"{_NAME}/(test|start|stop|restart|scale|tune|rollback|promote|traffic|containerize|ship)"),
        ("POST", f"{_NAME}/(slo|recovery|silence|feedback|drill|alerts/test|incidents/[a-z0-9]+/(act|undo))"),
        ("POST", f"{_NAME}/(shipping/cancel|retune|retunes/[a-z0-9]+/(cancel|take|undo))"),
        ("DELETE", _NAME),
    )
)
"""What a web page may ask for, through the Jupyter Server or a kernel: methods and paths."""

_PLAIN = re.compile(r"[!-~]+")

T = TypeVar("T")


def connect(store: Store, *, start: bool = True) -> Supervisor:
    """Return the person's supervisor, started where none runs and `start` is true.

    Raises `SupervisorFailed`, with the end of its log where it was started and did not come up.
    """
    supervisor = Supervisor(store, start=start)
    supervisor.ping()
    return supervisor


class Supervisor:
    """A client of the supervisor's calls. May be kept: where the process has ended meanwhile, the next call starts it.

    Every call raises the `AutodeployError` that the supervisor raised, and `SupervisorFailed` where it does not answer.
    Safe to use from several threads.
    """

    def __init__(self, store: Store, *, start: bool = True) -> None:
        self._store = store
        self._start = start
        self._info: SupervisorInfo | None = None
        self._finding = threading.Lock()

    def ping(self) -> dict[str, Any]:
        """What the process says of itself: pid, version, the zygotes by executable."""
        return self.call("GET", "/ping", dict[str, Any])

    def warm(self, executable: str) -> None:
        """Have that Python ready to build and to serve. Returns at once; asking again costs nothing."""
        self.call("POST", "/warm", NoneType, {"executable": executable})

    def runner(self, executable: str) -> CleanRunner:
        """What runs a build's functions in clean processes of that Python."""
        return _Runner(self, executable)

    def serve(self, desired: Desired, report: Report, *, fresh: bool = False) -> Status:
        """Start the deployment, or swap it to the version that is desired; with `fresh` in any case to new workers.

        Raises `StartFailed` or `PortTaken`; then the old generation still serves, and nothing else is desired of it.
        """
        return self.call("POST", "/deployments?fresh" if fresh else "/deployments", Status, desired, report)

    def steer(self, name: str, report: Report, **change: Any) -> Status:
        """Change what versions besides the champion are given: `canary`, `share`, `shadow`, `loaded`.

        Raises `UnknownVersion` or `InvalidOption`, and `StartFailed` where one cannot be loaded; then nothing changes.
        """
        return self.call("POST", f"/deployments/{name}/traffic", Status, change, report)

    def status(self, name: str) -> Status:
        """Raises `UnknownDeployment`."""
        return self.call("GET", f"/deployments/{name}", Status)

    def list(self) -> list[Status]:
        """All deployments, by name."""
        return self.call("GET", "/deployments", list[Status])

    def restart(self, name: str, report: Report) -> Status:
        """Swap to new workers of the same version."""
        return self.call("POST", f"/deployments/{name}/restart", Status, report=report)

    def start(self, name: str, report: Report) -> Status:
        """Start a stopped deployment on its own port."""
        return self.call("POST", f"/deployments/{name}/start", Status, report=report)

    def stop(self, name: str) -> Status:
        """End its workers and close its port; it stays stopped until it is started."""
        return self.call("POST", f"/deployments/{name}/stop", Status)

    def remove(self, name: str) -> None:
        """End it and delete everything of it."""
        self.call("DELETE", f"/deployments/{name}", NoneType)

    def scale(self, name: str, workers: int, report: Report) -> Status:
        """Serve with that many workers. Raises `InvalidOption`."""
        return self.call("POST", f"/deployments/{name}/scale", Status, {"workers": workers}, report)

    def tune(
        self, name: str, report: Report, *, workers: int | None = None, settings: dict[str, float] | None = None
    ) -> Status:
        """Run the same version in another way: `live.View.knobs` are the settings that can be given."""
        body = {"workers": workers, "settings": settings or {}}
        return self.call("POST", f"/deployments/{name}/tune", Status, body, report)

    def rollback(self, name: str, report: Report, version: int | None = None) -> Status:
        """Serve an older version again; by default the one served before, and called again further back."""
        return self.call("POST", f"/deployments/{name}/rollback", Status, {"version": version}, report)

    def promote(self, name: str, report: Report, version: int | None = None) -> Status:
        """Make a version the champion, by default the canary or the shadow."""
        return self.call("POST", f"/deployments/{name}/promote", Status, {"version": version}, report)

    def containerize(self, name: str, wanted: Wanted, report: Report) -> Image:
        """Build an image of the version that serves, and prove it. It goes on where this call is broken off.

        Raises `ShipFailed` or `InvalidOption`, and `ShipCancelled` where somebody did that.
        """
        body = msgspec.to_builtins(wanted)
        return self.call("POST", f"/deployments/{name}/containerize", Image, body, report)

    def cancel_shipping(self, name: str) -> Cancelled:
        """End the `containerize` or `ship` that is under way; returns once nothing is left of it.

        Raises `InvalidOption` where nothing is under way, or it was through before it could be ended.
        """
        return self.call("POST", f"/deployments/{name}/shipping/cancel", Cancelled, {})

    def targets(self, name: str) -> Offer:
        """Where the version that serves can go, with the options of each place."""
        return self.call("GET", f"/deployments/{name}/targets", Offer)

    def ship(self, name: str, order: Shipment, report: Report) -> Shipped:
        """Take the version that serves elsewhere, as `order` says. Raises `ShipFailed` or `InvalidOption`."""
        return self.call("POST", f"/deployments/{name}/ship", Shipped, msgspec.to_builtins(order), report)

    def logs(self, name: str, lines: int = 200) -> str:
        """The last lines that its workers wrote."""
        return self.call("GET", f"/deployments/{name}/logs?lines={lines}", str)

    # --- what is shown

    def glances(self) -> builtins.list[Glance]:
        """Every deployment in one line, by name."""
        return self.call("GET", "/glances", builtins.list[Glance])

    def view(self, name: str) -> View:
        """Everything of one deployment besides its points."""
        return self.call("GET", f"/deployments/{name}/view", View)

    def series(self, name: str, seconds: float = 300.0, points: int = 300, until: float | None = None) -> Series:
        """The window of `seconds` up to `until` (seconds since the epoch; default now) in at most `points` points."""
        query = f"seconds={seconds:g}&points={points}" + (f"&until={until!r}" if until is not None else "")
        return self.call("GET", f"/deployments/{name}/series?{query}", Series)

    def events(self, name: str, seconds: float = 24 * 3600.0) -> builtins.list[Event]:
        """What happened to it in the last `seconds`, oldest first."""
        return self.call("GET", f"/deployments/{name}/events?seconds={seconds:g}", builtins.list[Event])

    def test(self, name: str, rows: int = 1) -> Probe:
        """Have rows of its sample sent to it."""
        return self.call("POST", f"/deployments/{name}/test", Probe, {"rows": rows})

    # --- how it does

    def health(self, name: str) -> Health:
        """What is wrong with it, who was told, what was done about it, and how right it answers."""
        return self.call("GET", f"/deployments/{name}/health", Health)

    def set_slo(self, name: str, slo: str, report: Report) -> Status:
        """Let it promise this from now on: an SLO line, "" to learn one, "off" for none. Raises `InvalidOption`."""
        return self.call("POST", f"/deployments/{name}/slo", Status, {"slo": slo}, report)

    def set_recovery(self, name: str, mode: str, report: Report) -> Status:
        """What is done about its faults from now on; see `health.Recovery`. Raises `InvalidOption`."""
        return self.call("POST", f"/deployments/{name}/recovery", Status, {"mode": mode}, report)

    def silence(self, name: str, rule: str, seconds: float) -> Health:
        """Tell nobody of one fault, or with "" of any, for so long; 0 ends a silence."""
        return self.call("POST", f"/deployments/{name}/silence", Health, {"rule": rule, "seconds": seconds})

    def try_alerts(self, name: str) -> dict[str, str]:
        """Send a test message through every channel; what went wrong by channel, "" for one that worked."""
        return self.call("POST", f"/deployments/{name}/alerts/test", dict[str, dict[str, str]])["channels"]

    def act(self, name: str, incident: str, report: Report) -> Incident:
        """Do now what an incident suggests. Raises `InvalidOption` where there is nothing to do any more."""
        return self.call("POST", f"/deployments/{name}/incidents/{incident}/act", Incident, {}, report)

    def undo(self, name: str, incident: str, report: Report) -> Incident:
        """Take back what was done about a fault. Raises `InvalidOption` where that cannot be."""
        return self.call("POST", f"/deployments/{name}/incidents/{incident}/undo", Incident, {}, report)

    def feedback(self, name: str, labels: builtins.list[dict[str, Any]]) -> dict[str, int]:
        """Write labels down: of each the `request`, the `row` and the `label`; see `reservoir.Accepted`."""
        return self.call("POST", f"/deployments/{name}/feedback", dict[str, int], {"labels": labels})

    def drill(self, name: str, kind: str, seconds: float | None, report: Report) -> Drill:
        """Cause a fault for real, and tell what became of it; without `seconds` as long as is usual for it.

        Raises `InvalidOption`.
        """
        return self.call("POST", f"/deployments/{name}/drill", Drill, {"kind": kind, "seconds": seconds}, report)

    def repro(self, name: str, incident: str) -> dict[str, str]:
        """The code of a cell that sends an incident's request to the live object."""
        return self.call("GET", f"/deployments/{name}/repro?incident={incident}", dict[str, str])

    # --- re-tuning

    def retune(self, name: str, order: Order, report: Report) -> Retune:
        """Look for something better, and return what came of it. It goes on where this call is broken off.

        Raises `InvalidOption` where one runs already, or its order cannot be met.
        """
        return self.call("POST", f"/deployments/{name}/retune", Retune, order, report)

    def retunes(self, name: str) -> builtins.list[Retune]:
        """The last re-tunes, newest first."""
        return self.call("GET", f"/deployments/{name}/retunes", builtins.list[Retune])

    def retune_of(self, name: str, key: str) -> Retune:
        """One of them. Raises `InvalidOption` for one that is not known."""
        return self.call("GET", f"/deployments/{name}/retunes/{key}", Retune)

    def cancel_retune(self, name: str, key: str) -> Retune:
        """End one that runs; nothing has changed then."""
        return self.call("POST", f"/deployments/{name}/retunes/{key}/cancel", Retune, {})

    def take(self, name: str, key: str, contender: str, report: Report) -> Retune:
        """Serve a contender that passed. Raises `InvalidOption` for one that did not, or is not kept any more."""
        return self.call("POST", f"/deployments/{name}/retunes/{key}/take", Retune, {"contender": contender}, report)

    def undo_retune(self, name: str, key: str, report: Report) -> Retune:
        """Serve again as before a re-tune's contender was taken. Raises `InvalidOption` where that cannot be."""
        return self.call("POST", f"/deployments/{name}/retunes/{key}/undo", Retune, {}, report)

    def forget_data(self, name: str, before_s: float | None = None) -> dict[str, int]:
        """Delete what was recorded (before a time in seconds since the epoch), and what re-tunes kept of it.

        Returns how many "requests", "labels", "training" rows and data of "retunes" were deleted.
        """
        return self.call("POST", f"/deployments/{name}/data/forget", dict[str, int], {"before_s": before_s})

    def activity(self, activity: Activity) -> None:
        """Tell how a long job of this process is now, for everybody who watches."""
        self.call("POST", "/activities", NoneType, activity)

    def live(self, names: Iterable[str] | None = None) -> Generator[Message, None, None]:
        """What changes from now on, as it comes, of all deployments or of `names`; see `live.Message`.

        Blocks for the next message; there is a beat at least every two seconds. Ends when the supervisor ends, or lets
        go of one that does not keep up; closing the generator ends it from here, at the next message. Raises
        `SupervisorFailed` where none can be reached or it falls silent.
        """
        path = "/live" if names is None else "/live?names=" + ",".join(names)
        with contextlib.closing(_Connection("")) as connection:
            response = self._begin("GET", path, None, connection)
            try:
                with response:
                    while line := response.readline():
                        yield msgspec.json.decode(line, type=Message)
            except (OSError, HTTPException) as error:
                self._info = None
                raise _lost("the stream of the supervisor broke off", error) from error
            self._info = None  # it ended: another one may be there now

    def page_call(self, method: str, path: str, body: Any = None, report: Report | None = None) -> Any:
        """Make a call for a web page, and return its result as JSON values.

        Raises `InvalidOption` for what a page may not ask: it cannot name a program to run, nor end the supervisor.
        """
        plain = path.partition("?")[0]
        if not _PLAIN.fullmatch(path) or not any(
            method == allowed and pattern.fullmatch(plain) for allowed, pattern in PAGE_CALLS
        ):
            raise InvalidOption(f"a page cannot ask for {method} {plain}", fix="update autodeploy_magic")
        return self.call(method, path, Any, body, report)

    def shutdown(self, stop_deployments: bool = False, if_idle: bool = False) -> None:
        """End the process, and return once it has ended, so that nothing writes into the state folder any more.

        Deployments serve on, and the next supervisor takes them over, unless it is told to stop them. `if_idle`: raise
        `InvalidOption`, and change nothing, where it builds, ships or re-tunes.
        """
        from autodeploy_magic.supervisor.workers.watch import wait_gone

        self.call("POST", "/shutdown", NoneType, {"stop_deployments": stop_deployments, "if_idle": if_idle})
        asked, self._info = self._info, None
        if asked is not None and not wait_gone(asked.pid, SILENCE_S):
            raise _lost(f"the supervisor has not ended after {SILENCE_S:g} s", None)

    def call(self, method: str, path: str, kind: type[T], body: Any = None, report: Report | None = None) -> T:
        """Make one call and return its result as a `kind`. The calls themselves are listed in `supervisor.api`."""
        for again in (True, False):
            with contextlib.closing(_Connection("")) as connection:
                try:
                    with self._begin(method, path, body, connection) as response:  # closed, whatever `report` raises
                        return _read(response, kind, report)
                except TimeoutError as error:
                    raise _lost(f"the supervisor said nothing for {SILENCE_S:g} s", error) from error
                except (OSError, HTTPException) as error:
                    self._info = None
                    if again and method == "GET":
                        continue  # asking once more changes nothing
                    raise _lost("the supervisor ended in the middle of the call", error) from error
        raise AssertionError("the second time returns or raises")

    def _begin(self, method: str, path: str, body: Any, connection: _Connection) -> HTTPResponse:
        """Send a call over `connection`, and return its answer as far as its head. A supervisor that is gone is sought
        once more, as long as nothing was sent."""
        content = None if body is None else msgspec.json.encode(body)
        for again in (True, False):
            info = self._find()
            connection.close()
            connection.path = info.socket
            try:
                connection.connect()
            except OSError as error:
                # Nothing was sent: the process has ended since the last call, and the next one may be asked.
                self._info = None
                if again:
                    continue
                raise _lost("the supervisor cannot be reached", error) from error
            connection.request(method, path, content, {"authorization": f"Bearer {info.token}"})
            response = connection.getresponse()
            if response.status == HTTPStatus.UNAUTHORIZED and again:
                self._info = None  # another supervisor has taken the place of the one we knew
                continue
            return response
        raise AssertionError("the second time returns or raises")

    def _find(self) -> SupervisorInfo:
        from autodeploy_magic.supervisor.launch import ensure, running

        with self._finding:
            if self._info is None:
                self._info = ensure(self._store) if self._start else running(self._store)
            if self._info is None:
                raise SupervisorFailed("no supervisor runs", fix="any `%%deploy` starts one")
            return self._info


class _Runner:
    """Runs jobs through the supervisor; see `contracts.CleanRunner`."""

    def __init__(self, supervisor: Supervisor, executable: str) -> None:
        self._supervisor = supervisor
        self._executable = executable

    def run(
        self,
        target: str,
        spec: dict[str, Any],
        *,
        paths: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
        timeout_s: float = 600.0,
    ) -> dict[str, Any]:
        job = {
            "executable": self._executable,
            "target": target,
            "spec": spec,
            "paths": paths,
            "env": env or {},
            "timeout_s": timeout_s,
        }
        return self._supervisor.call("POST", "/jobs", dict[str, Any], job)


class _Connection(HTTPConnection):
    """HTTP over a unix socket, one connection for each call."""

    def __init__(self, path: str) -> None:
        super().__init__("supervisor", timeout=SILENCE_S)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SILENCE_S)
        self.sock.connect(self.path)


def _read(response: HTTPResponse, kind: type[T], report: Report | None) -> T:
    if response.status != HTTPStatus.OK:
        raise SupervisorFailed(
            f"the supervisor answered {response.status} {response.reason}",
            fix="call again; `%deploy doctor` looks for the cause",
        )
    while line := response.readline():
        message = msgspec.json.decode(line, type=dict[str, Any])
        if "result" in message:
            return msgspec.convert(message["result"], kind)
        if "error" in message:
            raise from_payload(message["error"])
        if report is not None and "progress" in message:
            report(msgspec.convert(message["progress"], Progress))
    raise _lost("the supervisor ended in the middle of the call", None)


def _lost(what: str, cause: Exception | None) -> SupervisorFailed:
    return SupervisorFailed(
        what,
        why=f"{type(cause).__name__}: {cause}" if cause else "it closed the connection",
        fix="call again: a new supervisor starts by itself, and takes over what still serves",
    )
