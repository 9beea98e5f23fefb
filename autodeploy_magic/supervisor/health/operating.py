"""The operate loop of all deployments: watched every second, told of, and put right where the person lets it.

    workers are probed → each deployment is looked at → who has to know is told → recovery decides and acts

The looking is done by a thread of its own, the rest here; whatever fails is shown, and the loop goes on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from functools import partial

from autodeploy_magic.calling.snippets import sample_of
from autodeploy_magic.contracts import Desired, Status, Version, WorkerState
from autodeploy_magic.errors import AutodeployError, InvalidOption
from autodeploy_magic.health import Alert, Health, Incident, Severity
from autodeploy_magic.metrics.resources import Resources
from autodeploy_magic.operate.alert.sender import Sender
from autodeploy_magic.operate.detect.base import Reference
from autodeploy_magic.operate.detect.slo import state as slo_state
from autodeploy_magic.operate.quality.words import words
from autodeploy_magic.operate.recover.recovery import Recovery
from autodeploy_magic.operate.recover.words import story
from autodeploy_magic.operate.repro import cell, request_of
from autodeploy_magic.operate.watch.faults import Faults
from autodeploy_magic.operate.watch.watch import Seen, Watch, Watched
from autodeploy_magic.reservoir import columns_of, hidden_columns, one, recent
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.deployments import Deployments
from autodeploy_magic.supervisor.glances import Outlook
from autodeploy_magic.supervisor.health.hands import SupervisorHands
from autodeploy_magic.supervisor.journal import Journal
from autodeploy_magic.supervisor.retune.retunes import Retunes
from autodeploy_magic.supervisor.workers.probing import Prober

__all__ = ["Operating"]

log = logging.getLogger(__name__)

_AFTER_S = 0.5
"""How long after a second its roll-ups are looked at: workers write them as soon as it is over."""
_FAILED = 200
"""Failed requests among which an incident's is looked for."""
_KEPT = 64
"""References that are kept: samples of versions, read from the disk once."""


class Operating:
    """What the supervisor does about its deployments by itself. `latest` is what a thread may ask at any time.

    `used` tells what a deployment's processes took last, `changed` is called where glances have changed.
    """

    def __init__(
        self,
        store: Store,
        deployments: Deployments,
        journal: Journal,
        retunes: Retunes,
        *,
        used: Callable[[str], Resources | None],
        changed: Callable[[], None],
    ) -> None:
        self._store = store
        self._deployments = deployments
        self._journal = journal
        self._retunes = retunes
        self._used = used
        self._changed = changed
        self._watch = Watch(store)
        self._sender = Sender(store)
        self._prober = Prober(store)
        self._faults = Faults("the watch")
        self._latest: dict[str, Seen] = {}
        self._versions: dict[tuple[str, int], tuple[Version, Reference | None]] = {}
        self._drills: dict[str, str] = {}
        self.recovery = Recovery(store, SupervisorHands(store, deployments, retunes), self._incident)

    async def run(self) -> None:
        """Look every second, until it is cancelled."""
        observed = {desired.name for desired, _ in self._deployments.observed()}
        for name in set(self._store.names()) - observed:  # stopped, maybe while nobody was here
            with self._faults.isolated(f"alerts of {name}"):
                await asyncio.wrap_future(self._watch.do(partial(self._watch.alerts.end, time.time(), name)))
        while True:
            now_s = time.time()
            await asyncio.sleep(int(now_s) + 1 + _AFTER_S - now_s)
            with self._faults.isolated("watch"):
                await self._look(int(time.time()) - 1)

    async def close(self) -> None:
        """End what runs. Messages that are on their way have a moment to arrive."""
        self._prober.close()
        await self.recovery.close()
        await asyncio.wrap_future(self._watch.close())
        await asyncio.to_thread(self._sender.close)

    @property
    def cpu_s(self) -> float:
        """CPU time that looking has taken so far."""
        return self._watch.cpu_s

    # --- what is known

    def outlook(self, name: str) -> Outlook:
        """How it does, in a line. Never raises."""
        try:
            desired = self._deployments.desired(name)
        except AutodeployError:
            return Outlook()
        seen, now, retune = self._latest.get(name), time.time(), self._retunes.words(name)
        if seen is None:
            return Outlook(slo=desired.slo, recovery=desired.recovery, retune=retune)
        moment = seen.moment
        return Outlook(
            slo=desired.slo,
            slo_state=slo_state(moment.objectives),
            alerts=tuple(alert for alert in seen.alerts if _wants_an_eye(alert, now)),
            quality=words(moment.quality) if moment.quality is not None else "",
            recovery=desired.recovery,
            retune=retune,
        )

    def known(self, name: str) -> tuple[Alert, ...]:
        """All alerts of it, those that ended lately included."""
        seen = self._latest.get(name)
        return seen.alerts if seen is not None else ()

    async def health(self, name: str) -> Health:
        """Everything of how it does. Raises `UnknownDeployment`."""
        desired = self._deployments.desired(name)
        seen = self._latest.get(name)
        alerts = await asyncio.wrap_future(self._watch.do(lambda: tuple(self._watch.alerts.of(name))))
        return Health(
            name=name,
            slo=desired.slo,
            slo_state=slo_state(seen.moment.objectives) if seen is not None else "unset",
            objectives=seen.moment.objectives if seen is not None else (),
            recovery=desired.recovery,
            alerts=alerts,
            incidents=tuple(self.recovery.of(name)),
            quality=seen.moment.quality if seen is not None else None,
            drift=seen.moment.drift if seen is not None else (),
            faults={
                **(seen.faults if seen is not None else {}),
                **self._faults.now,
                **self._sender.faults(name),
                **self.recovery.faults(name),
            },
        )

    async def silence(self, name: str, rule: str, seconds: float) -> Health:
        """Tell nobody of one fault, or with "" of any, for so long. Raises `UnknownDeployment`."""
        self._deployments.desired(name)
        until = time.time() + seconds if seconds else 0.0
        await asyncio.wrap_future(self._watch.do(lambda: self._watch.alerts.silence(name, rule, until)))
        seen = self._latest.get(name)
        if seen is not None:
            now = await asyncio.wrap_future(self._watch.do(lambda: tuple(self._watch.alerts.of(name))))
            self._latest[name] = seen._replace(alerts=now)
        self._changed()
        return await self.health(name)

    def try_alerts(self, name: str) -> dict[str, str]:
        """Send a test message through every channel: not for the loop. Raises `UnknownDeployment`."""
        return self._sender.test(self._deployments.desired(name))

    def classes(self, name: str) -> list[str]:
        """The classes that a label may be, as far as they are known: of the sample's answers, and of labels."""
        seen = self._latest.get(name)
        if seen is None or seen.moment.version.task != "classification":
            return []
        known = {str(value) for value in seen.moment.reference().outputs.get("predictions", ())}
        if seen.moment.quality is not None and seen.moment.quality.confusion is not None:
            known |= set(seen.moment.quality.confusion.classes)
        return sorted(known)

    def repro(self, name: str, incident: str) -> dict[str, str]:
        """The code of a cell that sends an incident's request again: not for the loop. Raises `InvalidOption`."""
        found = next((each for each in self.recovery.of(name) if each.id == incident), None)
        if found is None:
            raise InvalidOption(f"{name} has no incident {incident!r}", fix=f"`%deploy incidents {name}` lists them")
        file = self._store.requests_file(name)
        request = request_of(found, recent(file, _FAILED, failed=True))
        recorded = one(file, request)
        if recorded is None:
            raise InvalidOption(f"the request {request} of incident {incident} is not kept any more")
        hidden = hidden_columns(self._store.version(name, recorded.version).signature, recorded.inputs)
        return {"code": cell(found, recorded, hidden), "request": request}

    def forget(self, name: str) -> None:
        """A deployment is removed."""
        self._latest.pop(name, None)
        self._versions = {key: one for key, one in self._versions.items() if key[0] != name}
        self.recovery.forget(name)
        self._watch.do(lambda: self._watch.alerts.forget(name))

    def drilling(self, name: str, kind: str) -> None:
        """A fault is being caused on purpose; "" where that is over."""
        if kind:
            self._drills[name] = kind
        else:
            self._drills.pop(name, None)

    # --- every second

    async def _look(self, t: int) -> None:
        observed = self._deployments.observed()
        sights = await self._prober.probe([worker for _, workers in observed for worker in workers])
        watched = []
        for desired, workers in observed:
            with self._faults.isolated(f"watch of {desired.name}"):
                each = await self._watched(desired, workers)
                watched.append(each._replace(workers=tuple(sights[pid] for pid in _pids(workers) if pid in sights)))
        latest, ended = await asyncio.wrap_future(self._watch.look(t, watched))
        self._latest = latest
        for alert in ended:  # of those that were stopped
            self._note(alert)
            with self._faults.isolated(f"alerts of {alert.name}"):
                self._sender.send(self._deployments.desired(alert.name), [alert])
        for name, seen in latest.items():
            with self._faults.isolated(f"alerts of {name}"):
                self._tell(seen)
            with self._faults.isolated(f"recovery of {name}"):
                await self.recovery.look(seen.moment, seen.alerts)
        self._changed()

    async def _watched(self, desired: Desired, workers: tuple[WorkerState, ...]) -> Watched:
        status = self._deployments.status(desired.name)
        number = status.version or desired.version
        version = await self._version(desired.name, number)
        return Watched(
            desired=desired,
            status=status,
            version=version,
            metrics=self._store.metrics_file(desired.name),
            requests=self._store.requests_file(desired.name),
            reference=partial(self._reference, desired.name, number),
            used=self._used(desired.name),
            swapped_s=self._swapped(desired, status),
            drill=self._drills.get(desired.name, ""),
        )

    async def _version(self, name: str, number: int) -> Version:
        found = self._versions.get((name, number))
        if found is None:
            version = await asyncio.to_thread(self._store.version, name, number)
            while len(self._versions) >= _KEPT:
                self._versions.pop(next(iter(self._versions)))
            found = self._versions[name, number] = version, None
        return found[0]

    def _reference(self, name: str, number: int) -> Reference:
        """What a version is compared with; called by the watch's thread."""
        found = self._versions.get((name, number))
        if found is None:
            return Reference({}, {})
        version, reference = found
        if reference is None:
            reference = _read_reference(self._store, version)
            self._versions[name, number] = version, reference
        return reference

    def _swapped(self, desired: Desired, status: Status) -> float:
        """When the champion became what it is, as far as this supervisor has seen it."""
        seen = self._latest.get(desired.name)
        if seen is None:
            return status.since
        if seen.moment.version.number != (status.version or desired.version):
            return time.time()
        return max(seen.moment.swapped_s, 0.0)

    def _tell(self, seen: Seen) -> None:
        moment = seen.moment
        for alert in seen.changed:
            self._note(alert, moment.version.number)
        if seen.changed:
            self._sender.send(moment.desired, seen.changed)

    def _note(self, alert: Alert, version: int = 0) -> None:
        over = alert.state == "resolved"
        self._journal.note(
            alert.name,
            "alert",
            f"over: {alert.text}" if over else alert.text,
            version=alert.version or version,
            severity="info" if over else alert.severity,
        )

    def _incident(self, incident: Incident) -> None:
        """Something was done, or is suggested: told once it is so, and once it is known what came of it."""
        if incident.outcome in ("suggested", "failed", "held", "undone", "no_help", "helped"):
            severity: Severity = "info" if incident.outcome == "helped" else "warning"
            self._journal.note(incident.name, "incident", story(incident), version=incident.version, severity=severity)
        self._watch.do(partial(self._watch.alerts.did, incident.name, incident.rule, incident.id))
        self._changed()


def _wants_an_eye(alert: Alert, now_s: float) -> bool:
    return alert.state == "firing" and alert.severity != "info" and alert.silenced_until_s <= now_s


def _pids(workers: tuple[WorkerState, ...]) -> tuple[int, ...]:
    return tuple(worker.pid for worker in workers)


def _read_reference(store: Store, version: Version) -> Reference:
    """The sample and what the live object answered to it; empty where they cannot be read."""
    folder = store.version_folder(version.deployment, version.number)
    try:
        columns = columns_of(version.signature, sample_of(store, version))
    except (OSError, ValueError, KeyError, AutodeployError) as error:
        log.warning("%s v%d: its sample cannot be read: %r", version.deployment, version.number, error)
        columns = {}
    try:
        expected = json.loads((folder / "expected.json").read_text("utf-8"))
    except (OSError, ValueError):
        expected = {}
    outputs = {name: values for name, values in expected.items() if isinstance(values, list)}
    return Reference(columns, outputs)
