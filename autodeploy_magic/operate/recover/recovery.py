"""Faults become incidents: each second it is looked what fires, decided, done, and judged what came of it.

Whatever an action raises is its incident's end, and nobody else's trouble.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

import msgspec

from autodeploy_magic import registry, settings
from autodeploy_magic.contracts import Desired
from autodeploy_magic.errors import AutodeployError, InvalidOption
from autodeploy_magic.health import Alert, Incident
from autodeploy_magic.operate.detect.base import Moment
from autodeploy_magic.operate.recover.actions.base import Action, Done
from autodeploy_magic.operate.recover.actions.give_back import CALM_S
from autodeploy_magic.operate.recover.case import Case, Figures
from autodeploy_magic.operate.recover.engine import DAY_S, Decision, Verdict, decide, judge, seen_before
from autodeploy_magic.operate.recover.figures import OVER_S
from autodeploy_magic.operate.recover.hands import Hands, Room
from autodeploy_magic.operate.recover.incidents import Kept, Note, load, save
from autodeploy_magic.operate.recover.state import State, alert_of, idle, lent_after
from autodeploy_magic.operate.recover.words import result_text
from autodeploy_magic.store import Store

__all__ = ["Recovery"]

log = logging.getLogger(__name__)

ACTION_S = 180.0
"""How long an action may take: a swap loads models."""
_PREVIOUS_S = 5.0
_SAME_SWAP_S = 60.0


class Recovery:
    """What the supervisor drives, on its event loop. `changed` is called with each incident that became another.

    `clock` tells seconds since the epoch.
    """

    def __init__(
        self,
        store: Store,
        hands: Hands,
        changed: Callable[[Incident], None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._hands = hands
        self._changed = changed
        self._clock = clock
        self._states: dict[str, State] = {}
        self._faults: dict[str, str] = {}
        self._actions: dict[str, Action] = {}
        for name, reference in registry.table("actions").items():
            try:
                self._actions[name] = registry.load(reference)()
            except Exception as error:  # noqa: BLE001 - another package's action must not take ours with it
                log.warning("the action %s cannot be loaded: %s", name, error)
                self._faults[f"action {name}"] = f"{type(error).__name__}: {error}"

    async def look(self, moment: Moment, alerts: Iterable[Alert]) -> None:
        """Look at a deployment, once a second. Returns at once: what takes longer goes on by itself."""
        state = self._states.get(moment.name)
        if state is None:
            kept = await asyncio.to_thread(load, self._store, moment.name)
            state = self._states.setdefault(moment.name, self._begin_anew(moment.name, kept))
        now_s = self._clock()
        state.moment, state.alerts = moment, tuple(alerts)
        state.recent.add(moment)
        room = self._hands.room()  # asked each time, for it tells of the time since
        if state.busy:
            return
        state.lent = state.lent.still(moment.desired)
        firing = [alert for alert in state.alerts if alert.state == "firing"]
        if any(alert.severity != "info" for alert in firing):
            state.recent.calm_since = now_s
        if state.lent and state.recent.calm_s(now_s) >= CALM_S:
            firing.append(idle(moment, now_s))
        if self._close(state, now_s, firing) or not firing or moment.desired.recovery == "off":
            return
        previous = await self._previous(state, moment.desired, now_s)
        figures = self._figures(state, now_s - OVER_S, now_s)
        found = decide(
            now_s,
            moment.desired.recovery,
            firing,
            state.incidents,
            lambda alert: self._case(state, moment, alert, figures, room, previous, now_s),
            self._actions,
            int(_setting(moment.desired, "actions_per_hour")),
        )
        if found is not None:
            self._follow(state, found, self._case(state, moment, found.alert, figures, room, previous, now_s))

    def of(self, name: str) -> tuple[Incident, ...]:
        """The incidents of a deployment, the newest first."""
        return tuple(self._known(name).incidents)

    def faults(self, name: str) -> dict[str, str]:
        """Parts of recovery itself that failed when they were tried last, by name ("action scale_up")."""
        return {**self._faults, **self._known(name).faults}

    async def act(self, name: str, incident: str) -> Incident:
        """Do now what an incident suggests, or was held back from. Raises `InvalidOption` where that cannot be."""
        state = self._known(name)
        found = state.find(incident)
        if found.outcome not in ("suggested", "held") or found.acted_s or not found.action:
            raise InvalidOption(f"there is nothing to do about incident {incident} of {name} any more")
        moment, action = self._free(state, found)
        now_s = self._clock()
        alert = next((one for one in state.alerts if one.rule == found.rule), None) or alert_of(found)
        previous = await self._previous(state, moment.desired, now_s)
        figures = self._figures(state, now_s - OVER_S, now_s)
        case = self._case(state, moment, alert, figures, self._hands.room(), previous, now_s)
        reason = action.fits(case)
        if reason:
            raise InvalidOption(f"{action.would(case)}: not now", why=reason)
        self._act(state, found, action, case)
        await self._acted(state)
        return state.find(incident)

    async def undo(self, name: str, incident: str) -> Incident:
        """Take back what was done about a fault; it is not tried again for a day. Raises `InvalidOption`."""
        state = self._known(name)
        found = state.find(incident)
        back = state.notes.get(incident, Note()).back
        if not found.undo or back is None:
            raise InvalidOption(f"what was done about incident {incident} of {name} cannot be taken back")
        _, action = self._free(state, found)
        self._begin(state, self._take_back(state, found, action, back, Verdict("no_help", undo=True, why="by hand")))
        await self._acted(state)
        return state.find(incident)

    def forget(self, name: str) -> None:
        """A deployment is removed."""
        state = self._states.pop(name, None)
        if state is not None and state.acting is not None:
            state.acting.cancel()

    async def close(self) -> None:
        """Break off what is under way: the next supervisor tells that it was."""
        tasks = [state.acting for state in self._states.values() if state.acting is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(task for state in self._states.values() for task in state.writing))

    # --- what is known

    def _known(self, name: str) -> State:
        if name not in self._states:
            self._states[name] = self._begin_anew(name, load(self._store, name))
        return self._states[name]

    def _begin_anew(self, name: str, kept: Kept) -> State:
        """Go on where an earlier supervisor left off: what it was in the middle of is told as what it is."""
        state = State(name, list(kept.incidents), dict(kept.notes), kept.lent)
        now_s = self._clock()
        for one in list(state.incidents):
            if one.outcome != "open":
                continue
            if not one.did:
                why = "the supervisor ended in the middle of it: what serves now may be as before it, or as after it"
                self._note(state, one, outcome="failed", why=why, closed_s=now_s)
            elif now_s - one.acted_s > 2 * ACTION_S:
                self._note(state, one, outcome="held", why="nobody watched what came of it", closed_s=now_s)
        return state

    async def _previous(self, state: State, desired: Desired, now_s: float) -> int | None:
        version, asked_s, found = state.previous
        if version != desired.version or now_s - asked_s > _PREVIOUS_S:
            try:
                found = await asyncio.to_thread(self._hands.previous, state.name)
            except (AutodeployError, OSError) as error:
                state.faults["versions"] = str(error)
                found = None
            state.previous = desired.version, now_s, found
        return found

    def _case(
        self,
        state: State,
        moment: Moment,
        alert: Alert,
        figures: Figures,
        room: Room,
        previous: int | None,
        now_s: float,
    ) -> Case:
        desired = moment.desired
        back = [one for one in state.incidents if one.action == "roll_back" and one.did and now_s - one.acted_s < DAY_S]
        gone_to = {(state.notes[one.id].back or {}).get("to") for one in back if one.id in state.notes}
        last_s = max((one.acted_s for one in back), default=0.0)
        canary = desired.traffic.canary
        blamed = bool(canary) and (alert.version == canary or state.recent.worse(canary, desired.version, now_s))
        return Case(
            now_s=now_s,
            alert=alert,
            desired=desired,
            status=moment.status,
            figures=figures,
            room=room,
            previous=previous,
            swapped_s=moment.swapped_s,
            bake_s=60.0 * _setting(desired, "bake_minutes"),
            by_us=desired.version in gone_to and moment.swapped_s <= last_s + _SAME_SWAP_S,
            rolled_back=frozenset(one.version for one in back if one.outcome != "undone"),
            blamed=blamed,
            calm_s=state.recent.calm_s(now_s),
            lent=state.lent,
        )

    def _figures(self, state: State, since_s: float, until_s: float) -> Figures:
        return state.recent.means(since_s, until_s)

    # --- what is decided

    def _follow(self, state: State, decision: Decision, case: Case) -> None:
        now_s, alert = case.now_s, decision.alert
        incident = seen_before(now_s, decision, case.version, state.incidents) or Incident(
            id=secrets.token_hex(6),
            name=state.name,
            rule=alert.rule,
            metric=alert.metric,
            severity=alert.severity,
            text=alert.text,
            opened_s=now_s,
            action=decision.action,
            before=dict(case.figures),
            version=case.version,
            request=alert.request,
            drill=alert.drill,
        )
        if decision.mode == "act":
            self._act(state, incident, self._actions[decision.action], case)
            return
        outcome = "suggested" if decision.mode == "suggest" else "held"
        self._note(state, incident, outcome=outcome, would=decision.would, why=decision.why, closed_s=0.0)
        self._write(state)

    def _act(self, state: State, incident: Incident, action: Action, case: Case) -> None:
        self._note(
            state,
            incident,
            outcome="open",
            acted_s=case.now_s,
            closed_s=0.0,
            before=dict(case.figures),
            would=action.would(case),
            why="",
        )
        self._begin(state, self._perform(state, state.find(incident.id), action, case))

    async def _perform(self, state: State, incident: Incident, action: Action, case: Case) -> None:
        part = f"action {action.name}"
        await self._save(state)  # whoever finds it after a crash knows that it was begun
        try:
            async with asyncio.timeout(ACTION_S):
                done = await action.do(self._hands, case)
        except Exception as error:  # whatever an action raises is its incident's end
            state.faults[part] = _words(error)
            log.warning("%s: %s failed", state.name, part, exc_info=not isinstance(error, AutodeployError))
            self._note(state, incident, outcome="failed", why=_words(error), closed_s=self._clock())
        else:
            state.faults.pop(part, None)
            self._note_done(state, incident, done, case)
        await self._save(state)

    def _note_done(self, state: State, incident: Incident, done: Done, case: Case) -> None:
        state.notes[incident.id] = Note(back=done.back, done_s=self._clock(), limit=case.alert.limit)
        if done.lent is not None:
            state.lent = lent_after(state.lent, done, case.desired)
        self._note(state, incident, did=done.did, undo=done.back is not None)

    # --- what came of it

    def _close(self, state: State, now_s: float, firing: Sequence[Alert]) -> bool:
        """Judge what was done, and end what is over. Returns whether something is being undone now."""
        rules = {alert.rule for alert in firing}
        for one in list(state.incidents):
            if one.closed_s or state.acting is not None:
                continue
            if one.outcome == "open":
                self._judge(state, one, now_s, one.rule in rules)
            elif one.rule not in rules:
                self._note(state, one, outcome="resolved", closed_s=now_s)
                self._write(state)
        return state.acting is not None

    def _judge(self, state: State, incident: Incident, now_s: float, firing: bool) -> None:
        note, action = state.notes.get(incident.id, Note()), self._actions.get(incident.action)
        if action is None:  # of a package that is not installed any more
            self._note(state, incident, outcome="held", why="what did it is not installed", closed_s=now_s)
            return
        done_s = note.done_s or incident.acted_s
        after = self._figures(state, max(done_s + 1, now_s - OVER_S), now_s)
        verdict = judge(now_s, incident, action, done_s, note.limit, after, firing=firing)
        if verdict is None:
            return
        result = result_text(incident.metric, after, now_s - incident.acted_s)
        incident = self._note(state, incident, after=dict(after), result=result)
        if verdict.undo and note.back is not None:
            self._begin(state, self._take_back(state, incident, action, note.back, verdict))
            return
        self._note(state, incident, outcome=verdict.outcome, why=verdict.why, closed_s=now_s)
        self._write(state)

    async def _take_back(
        self, state: State, incident: Incident, action: Action, back: dict[str, Any], verdict: Verdict
    ) -> None:
        try:
            async with asyncio.timeout(ACTION_S):
                words = await action.undo(self._hands, state.name, back)
        except Exception as error:  # noqa: BLE001 - as in `_perform`
            state.faults[f"action {action.name}"] = _words(error)
            why = f"{verdict.why}; and it could not be undone: {_words(error)}"
            self._note(state, incident, outcome="no_help", why=why, closed_s=self._clock())
        else:
            why = f"{verdict.why}; {words}"
            self._note(state, incident, outcome="undone", why=why, closed_s=self._clock(), undo=False)
        await self._save(state)

    # --- inside

    def _free(self, state: State, incident: Incident) -> tuple[Moment, Action]:
        """What acting needs. Raises `InvalidOption` while another action is under way."""
        if state.moment is None or state.moment.desired.state != "running":
            raise InvalidOption(f"{state.name} does not run", fix=f"`%deploy start {state.name}`")
        if state.busy:
            raise InvalidOption(
                f"an action is under way for {state.name}", why="one is done at a time", fix="try again when it is done"
            )
        action = self._actions.get(incident.action)
        if action is None:
            raise InvalidOption(f"there is no action {incident.action!r} here", fix="update autodeploy_magic")
        return state.moment, action

    def _begin(self, state: State, work: Coroutine[Any, Any, None]) -> None:
        """Do it by and by; until it is done nothing else is."""
        task = asyncio.create_task(self._isolated(state, work))
        state.acting = task
        task.add_done_callback(lambda done: setattr(state, "acting", None) if state.acting is done else None)

    async def _isolated(self, state: State, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # a mistake of ours, which must not end the loop that calls
            log.exception("%s: recovery failed", state.name)
            state.faults["recovery"] = _words(error)

    async def _acted(self, state: State) -> None:
        """Wait until no action is under way, and what is known is written down."""
        while state.acting is not None or state.writing:
            await asyncio.wait([*filter(None, [state.acting]), *state.writing])

    def _write(self, state: State) -> None:
        """Write down what is known by and by."""
        task = asyncio.create_task(self._isolated(state, self._save(state)))
        state.writing.add(task)
        task.add_done_callback(state.writing.discard)

    def _note(self, state: State, incident: Incident, **changes: Any) -> Incident:
        known = next((one for one in state.incidents if one.id == incident.id), incident)
        after = msgspec.structs.replace(known, **changes)
        state.put(after)
        try:
            self._changed(after)
        except Exception as error:  # noqa: BLE001 - who is told must not keep us from doing
            state.faults["telling of incidents"] = _words(error)
        return after

    async def _save(self, state: State) -> None:
        """Write down what is known; where the disk is full, it is known as long as this process runs."""
        async with state.turn:
            kept = Kept(incidents=tuple(state.incidents), notes=dict(state.notes), lent=state.lent)
            try:
                await asyncio.to_thread(save, self._store, state.name, kept)
            except (AutodeployError, OSError) as error:
                if "incidents" not in state.faults:
                    log.warning("%s: its incidents cannot be written down: %s", state.name, error)
                state.faults["incidents"] = _words(error)
            else:
                state.faults.pop("incidents", None)


def _setting(desired: Desired, name: str) -> float:
    value = desired.settings.get(name, settings.get(name))
    return float(value) if isinstance(value, int | float) else float(settings.KNOBS[name].default)


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return f"it took longer than {ACTION_S:.0f} s"
    return error.what if isinstance(error, AutodeployError) else f"{type(error).__name__}: {error}"
