"""What a challenger costs beside the champion: CPU time at the recorded mix, size, memory."""

from __future__ import annotations

from autodeploy_magic.operate.retune.gate.case import Case
from autodeploy_magic.retuning import Check

__all__ = ["cheaper", "in_memory", "not_much_slower"]

FASTER = 1.1
"""So many times less CPU, or smaller, is clearly faster or smaller: measurements differ by some hundredths."""
ROAD_S = 1e-4
"""CPU that a request takes besides the model, about (HTTP, decoding): a gain is one of the whole."""
SLOWER = {"auto": 1.1, "latency": 1.05, "size": 1.5, "quality": 1.1}
"""How much more CPU a smaller one may take, by goal."""
MUCH_SLOWER, MUCH_SLOWER_SLO = 2.0, 4.0
"""How much more CPU a better one may take: without a promised latency, and where that has room."""


def cheaper(case: Case) -> Check:
    """Clearly less CPU at the recorded mix, or clearly smaller and hardly slower."""
    smaller = _smaller(case)
    if case.cpu is None:
        return Check(name="cost", passed=False, text="its CPU time could not be measured")
    a, b = case.cpu
    ratio, whole = a / max(b, 1e-12), (a + ROAD_S) / (b + ROAD_S)
    text = f"{_times(ratio)} CPU a request ({_seconds(a)} → {_seconds(b)})"
    if smaller is not None:
        text += f", {smaller:.2g} times smaller" if smaller >= 1 else f", {1 / smaller:.2g} times larger"
    if whole >= FASTER:
        return Check(name="cost", passed=True, text=text)
    slower = (b + ROAD_S) / (a + ROAD_S)
    if smaller is not None and smaller >= FASTER:
        limit = SLOWER.get(case.goal, 1.1)
        return Check(name="cost", passed=slower <= limit, text=f"{text} (allowed: {limit:g} times the CPU)")
    text += f" (asked: {FASTER:g} times less, with the {_seconds(ROAD_S)} of a request besides, or as much smaller)"
    return Check(name="cost", passed=False, text=text)


def not_much_slower(case: Case) -> Check:
    """Whether what is better does not cost much more CPU time, nor break the promised p99."""
    if case.cpu is None:
        return Check(name="cost", passed=False, text="its CPU time could not be measured")
    a, b = case.cpu
    batch = case.b.get("batch_s")
    roomy = case.p99_s is not None and batch is not None and batch <= case.p99_s / 2
    limit = MUCH_SLOWER_SLO if roomy else MUCH_SLOWER
    passed = (b + ROAD_S) / (a + ROAD_S) <= limit
    text = f"{_times(a / max(b, 1e-12))} CPU a request ({_seconds(a)} → {_seconds(b)}; allowed: {limit:g} times)"
    return Check(name="cost", passed=passed, text=text)


def _smaller(case: Case) -> float | None:
    """How many times smaller it is: on disk, or compressed, whichever more."""
    found = [
        case.a[name] / case.b[name] for name in ("size_bytes", "packed_bytes") if case.a.get(name) and case.b.get(name)
    ]
    return max(found) if found else None


def in_memory(case: Case) -> Check:
    """Whether a process that holds it stays within the limit that the person has promised."""
    held = float(case.b.get("memory_bytes") or 0)
    assert case.memory_bytes is not None
    text = f"{held / 1e6:.0f} MB of memory (allowed: {case.memory_bytes / 1e6:.0f} MB)"
    return Check(name="memory", passed=held <= case.memory_bytes, text=text)


def _times(ratio: float) -> str:
    return f"{ratio:.2g} times less" if ratio >= 1 else f"{1 / max(ratio, 1e-9):.2g} times more"


def _seconds(value: float) -> str:
    return f"{value * 1e6:.0f} µs" if value < 1e-3 else f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"
