"""Which rules of the table (`autodeploy_magic.policy`) a fault falls under, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable

from autodeploy_magic.operate.recover.case import Case
from autodeploy_magic.policy import POLICY, Rule

__all__ = ["IDLE", "LATE", "rules"]

IDLE = "idle"
"""The rule of what nobody alerts of: that less would do."""
FAILING = 0.05
"""So many answers that fail are no accident."""
QUALITY = ("accuracy", "precision", "recall", "f1", "mae", "rmse", "r2")
_FREE = 0.5
LATE = ("p50", "p90", "p95", "p99", "p999")


def rules(case: Case) -> list[Rule]:
    """The rules that apply, the first that decides first."""
    return [POLICY[name] for name, applies in _APPLIES.items() if applies(case)]


def _failing(case: Case) -> bool:
    value = case.alert.value if case.alert.value is not None else case.figures.get("errors")
    return case.alert.metric == "errors" and value is not None and value >= FAILING


def _crash_loop(case: Case) -> bool:
    return case.alert.detector == "workers" and not case.alert.worker and case.status.state == "failed"


def _of_answers(case: Case) -> bool:
    """Whether the fault is one of answers: late, failed, refused or less right."""
    return case.alert.metric in ("errors", "availability", "refused", *LATE, *QUALITY)


def _bad_version(case: Case) -> bool:
    if not case.baking or case.blamed:
        return False
    broken = case.alert.objective == "given" and case.alert.severity == "critical" and _of_answers(case)
    return _crash_loop(case) or broken or _failing(case)


def _demand(case: Case) -> bool:
    metric = case.alert.metric
    return metric in ("cpu", "waiting", "queue") or (metric in ("refused", *LATE) and bool(case.demand))


def _spoilt(case: Case) -> bool:
    """Whether answers fail or are late still, and the workers may be why.

    A burn rate looks back on what is over; and where the machine has no core free it is late for another's sake.
    """
    alert = case.alert
    if case.baking or case.blamed or case.demand or alert.metric not in ("errors", *LATE):
        return False
    now = case.figures.get(alert.metric)
    if now is None or (alert.metric in LATE and (alert.objective != "given" or case.room.cores_free < _FREE)):
        return False
    return now > max(alert.limit or 0.0, FAILING / 5 if alert.metric == "errors" else 0.0)


def _aged(case: Case) -> bool:
    alert = case.alert
    return alert.metric in ("drift", *QUALITY) or alert.detector in ("drift", "concept", "outputs")


_APPLIES: dict[str, Callable[[Case], bool]] = {
    "worker_stuck": lambda case: case.alert.worker != 0 and case.alert.detector == "workers",
    "canary": lambda case: case.blamed and _of_answers(case),
    "bad_version": _bad_version,
    "suspect_version": lambda case: case.baking and not case.blamed and _of_answers(case) and not _bad_version(case),
    "crash_loop": lambda case: _crash_loop(case) and not case.baking,
    "leak": lambda case: case.alert.detector == "leak",
    "memory": lambda case: case.alert.metric == "memory" and case.alert.detector != "leak",
    "demand": _demand,
    "idle": lambda case: case.alert.rule == IDLE,
    "disk": lambda case: case.alert.detector == "disk" and case.alert.rule.partition(":")[0] == "disk",
    "spoilt": _spoilt,
    "errors": lambda case: case.alert.metric in ("errors", "availability") and not case.baking and not case.blamed,
    "aged": _aged,
}
assert list(_APPLIES) == list(POLICY)
