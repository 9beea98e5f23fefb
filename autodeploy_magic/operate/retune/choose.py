"""Which of the contenders to take, and in which words: the Pareto front, and one by goal. Pure, and without numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec.structs import replace

from autodeploy_magic.retuning import Contender, Figures, Goal, Retune

__all__ = ["TIME_OVER", "choose", "outcome", "pareto"]

CLEARLY = 1.1
"""So many times faster or smaller is worth a change of what serves."""
ROAD_S = 1e-4
"""CPU that a request takes besides the model, about; see `gate.cost.ROAD_S`."""
TIME_OVER = "the time was over"
"""The reason of a candidate that nobody came to."""
_LESS_IS_BETTER = ("mae", "rmse", "log_loss")


def pareto(contenders: Sequence[Contender]) -> tuple[Contender, ...]:
    """The same contenders, each with `front`: no other that passed (or the champion) is as good in metric, CPU time
    and size, and better in one of them. What was not measured of two says nothing between them.
    """
    able = [one for one in contenders if _may_be_taken(one) and one.layout is None]
    front = {one.id for one in able if not any(_dominates(other, one) for other in able if other is not one)}
    return tuple(replace(one, front=one.id in front) for one in contenders)


def choose(contenders: Sequence[Contender], goal: Goal) -> str:
    """The id of the one to take by `goal`; "c0" where nothing is enough better than the champion.

    For quality the one that is better most; for latency and size the one that is most times faster or smaller, by a
    tenth at least. "auto" takes what is better, else what is faster, else what is smaller.
    """
    champion = next((one for one in contenders if one.state == "champion"), None)
    if champion is None:
        return "c0"
    passed = [one for one in contenders if one.state == "passed"]
    orders = {
        "quality": (_quality,),
        "latency": (_speed,),
        "size": (_size,),
        "auto": (_quality, _speed, _size),
    }
    for gain in orders[goal]:
        scored = [(gain(champion, one), _tie(champion, one), one) for one in passed]
        worthy = [(value, tie, one) for value, tie, one in scored if value > 0]
        if worthy:
            best = max(value for value, _, _ in worthy)
            # those that are as good but for noise: the better of them otherwise
            close = [(tie, value, one) for value, tie, one in worthy if value >= best - math.log(1.05)]
            if gain is _quality:
                close = [(tie, value, one) for tie, value, one in close if value == best]
            return max(close, key=lambda item: (item[0], item[1], [-ord(c) for c in item[2].id]))[2].id
    return champion.id


def outcome(retune: Retune) -> str:
    """One sentence of what came out of it, with figures."""
    champion = retune.contender("c0")
    chosen = retune.contender(retune.chosen)
    tried = [one for one in retune.contenders if one.state in ("passed", "fell", "failed")]
    if champion is None:
        return ""
    if chosen is None or chosen.id == champion.id:
        return _kept(retune, champion, tried)
    return f"{chosen.title}: {_gains(champion, chosen)}"


def _may_be_taken(one: Contender) -> bool:
    return one.state in ("passed", "champion")


def _dominates(one: Contender, other: Contender) -> bool:
    """Whether `one` is as good as the other in everything, and better in something."""
    pairs = [
        (a, b)
        for a, b in zip(_costs(one.figures), _costs(other.figures), strict=True)
        if a is not None and b is not None
    ]
    return bool(pairs) and all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _costs(figures: Figures) -> tuple[float | None, float | None, float | None]:
    """Metric, CPU time and size, so that less is better."""
    value = figures.value
    if value is not None and figures.metric not in _LESS_IS_BETTER:
        value = -value
    size = None if figures.size_bytes is None else float(figures.size_bytes)
    return value, figures.cpu_s, size


def _quality(champion: Contender, one: Contender) -> float:
    """How much of the champion's error is gone; of a calibration or a threshold, a part of what that brings."""
    if one.family != "better":
        return 0.0
    a, b = champion.figures, one.figures
    found = 0.0
    if a.value is not None and b.value is not None and a.metric == b.metric:
        if a.metric in _LESS_IS_BETTER:
            found = 1 - b.value / a.value if a.value > 0 else 0.0
        else:
            found = (b.value - a.value) / max(1 - a.value, 1e-9) if a.value < 1 else 0.0
    if found > 0:
        return 1.0 + found
    for name, sign in (("f1", 1.0), ("log_loss", -1.0)):
        if name in a.metrics and name in b.metrics:
            gain = sign * (b.metrics[name] - a.metrics[name]) / max(abs(a.metrics[name]), 1e-9)
            if gain > 0:
                return min(gain, 1.0)
    return 0.0


def _speed(champion: Contender, one: Contender) -> float:
    """The logarithm of how many times faster it is; 0 where that is not clearly so.

    A layout by the 95th percentile of the replayed trace, a model by its CPU time and that of a request besides.
    """
    if one.layout is not None:
        a, b = champion.figures.p95_s, one.figures.p95_s
        ratio = a / b if a and b else 1.0
    else:
        a, b = champion.figures.cpu_s, one.figures.cpu_s
        ratio = (a + ROAD_S) / (b + ROAD_S) if a is not None and b is not None else 1.0
    return math.log(ratio) if ratio >= CLEARLY else 0.0


def _size(champion: Contender, one: Contender) -> float:
    """The logarithm of how many times smaller it is, on disk or compressed; 0 where that is not clearly so."""
    if one.layout is not None:
        return 0.0
    found = [1.0]
    for name in ("size_bytes", "packed_bytes"):
        a, b = getattr(champion.figures, name), getattr(one.figures, name)
        if a and b:
            found.append(a / b)
    ratio = max(found)
    return math.log(ratio) if ratio >= CLEARLY else 0.0


def _tie(champion: Contender, one: Contender) -> float:
    """What else it brings, for two that are alike in what is looked for: speed, and half as much size."""
    return _speed(champion, one) + _size(champion, one) / 2


def _kept(retune: Retune, champion: Contender, tried: Sequence[Contender]) -> str:
    skipped = [one for one in retune.contenders if one.state == "skipped"]
    if not tried:
        late = sum(one.reason == TIME_OVER for one in skipped)
        if late:
            return f"the current one stays: the time was over before any of {late} candidates could be tried"
        more = f": none of {len(skipped)} ways to make it better fits it" if skipped else ""
        return f"the current one stays{more}"
    count = f"{len(tried)} candidate{'s' * (len(tried) != 1)}"
    passed = [one for one in tried if one.state == "passed"]
    value = _value(champion.figures)
    of = f" ({value})" if value else ""
    if passed:
        return (
            f"the current one stays{of}: of {count} {len(passed)} would do, and none is clearly better for"
            f" {'this goal' if retune.order.goal == 'auto' else retune.order.goal}"
        )
    best = max(tried, key=lambda one: one.figures.value or -math.inf)
    why = f"; {best.title}: {best.reason}" if best.reason else ""
    return f"the current one is best{of}: {count} tried, none passed the gate{why}"


def _gains(champion: Contender, chosen: Contender) -> str:
    """What is gained and what it costs, in figures."""
    a, b = champion.figures, chosen.figures
    words: list[str] = []
    if chosen.layout is not None:
        if a.p95_s and b.p95_s:
            words.append(f"p95 {_time(b.p95_s)} where it was {_time(a.p95_s)}")
        return ", ".join(words) or "run in another way"
    if a.cpu_s and b.cpu_s:
        ratio = a.cpu_s / b.cpu_s
        if ratio >= CLEARLY or ratio <= 1 / CLEARLY:
            words.append(f"{_times(ratio)} CPU per request")
    if a.size_bytes and b.size_bytes:
        ratio = a.size_bytes / b.size_bytes
        if ratio >= CLEARLY or ratio <= 1 / CLEARLY:
            words.append(f"{ratio:.2g}x smaller" if ratio > 1 else f"{1 / ratio:.2g}x larger")
    value = _value(b)
    if value and a.value is not None:
        words.append(f"{value}, the champion's {a.value:.4g} ({b.labelled:,} labels)")
    elif b.cosine is not None:
        words.append(f"cosine {b.cosine:.4f} with the champion's answers")
    elif b.agreement is not None:
        words.append(f"{b.agreement:.2%} of {b.rows:,} answers the same, without labels")
    for name, called in (("f1", "F1"), ("log_loss", "log loss")):
        if chosen.family == "better" and name in a.metrics and name in b.metrics:
            words.append(f"{called} {a.metrics[name]:.3f} → {b.metrics[name]:.3f}")
    return ", ".join(words)


def _value(figures: Figures) -> str:
    """ "accuracy 0.971 (0.962 to 0.978)"; "" where there are no labels."""
    if figures.value is None:
        return ""
    sure = f" ({figures.low:.4g} to {figures.high:.4g})" if figures.low is not None and figures.high is not None else ""
    name = {"mae": "MAE", "rmse": "RMSE"}.get(figures.metric, figures.metric)
    return f"{name} {figures.value:.4g}{sure}"


def _times(ratio: float) -> str:
    return f"{ratio:.2g}x less" if ratio >= 1 else f"{1 / ratio:.2g}x more"


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
