"""What a re-tune does, in which order, and what of it fails alone. Its jobs are answered here; others run them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autodeploy_magic.errors import AutodeployError, BuildFailed, DiskFull, NotApplicable, RetuneFailed
from autodeploy_magic.operate.retune import conduct
from autodeploy_magic.operate.retune.conduct import Conductor
from autodeploy_magic.retuning import Contender, DataUsed, Figures, Layout, Order, Retune

CPU = {"c0": 1.0, "c1": 0.4, "c2": 0.3, "c3": 0.9}


class Bench:
    """Answers jobs as it is told to; keeps what was asked."""

    def __init__(self, contenders: list[Contender], **answers: Any) -> None:
        self.asked: list[tuple[str, str]] = []
        self.seconds = 0.0
        self.trace = False
        self.found: list[Contender] = []
        self._contenders = contenders
        self._answers = answers

    async def job(self, target: str, spec: dict[str, Any], *, within_s: float) -> dict[str, Any]:
        assert within_s > 0
        await asyncio.sleep(0)
        key = spec.get("contender", {}).get("id") or Path(spec.get("answers", "")).name.partition(".")[0]
        step = {
            conduct.PLAN: "plan",
            conduct.MAKE: "make",
            conduct.MEASURE: "measure",
            conduct.JUDGE: "judge",
        }[target]
        self.asked.append((step, key))
        answer = self._answers.get(f"{step}_{key}")
        if isinstance(answer, AutodeployError):
            raise answer
        if step == "plan":
            plain = msgspec.to_builtins(self._contenders)
            return {"data": msgspec.to_builtins(DataUsed(held_out=9)), "contenders": plain, "trace": self.trace}
        if step == "make":
            folder = Path(spec["folder"]) / "contenders" / key
            folder.mkdir(parents=True)
            return {"note": f"made {key}", "settings": {"found": 1}, "digest": key, "format": "onnx"}
        if step == "measure":
            return {"answers": spec["answers"], "cpu_s": CPU.get(key, 1.0)}
        figures = Figures(metric="accuracy", value=0.9, agreement=1.0, cpu_s=CPU.get(key, 1.0), size_bytes=100)
        return {
            "figures": msgspec.to_builtins(figures),
            "checks": [],
            "passed": answer is not False,
            "reason": "proved" if answer is not False else "it fell",
        }

    async def layouts(self, retune: Retune, within_s: float, said: Callable[[str], None]) -> list[Contender]:
        said("trial 1 of 1")
        return self.found


def waiting(key: str, **more: Any) -> Contender:
    return Contender(id=key, optimiser="onnx_fp16", title=f"try {key}", family="smaller", **more)


def conducted(bench: Bench, folder: Path, order: Order | None = None, *, told: list[Retune] | None = None) -> Retune:
    retune = Retune(id="r1", name="iris", order=order or Order(), champion=1, started_s=time.time())
    conductor = Conductor("/home", retune, folder, bench, (told if told is not None else []).append)
    return asyncio.run(conductor.run(folder))


def test_each_is_made_measured_and_judged_in_turn_and_the_champion_first(tmp_path: Path) -> None:
    told: list[Retune] = []
    bench = Bench([waiting("c1"), waiting("c2")], judge_c1=False)
    found = conducted(bench, tmp_path, Order(goal="size"), told=told)
    assert bench.asked == [
        ("plan", ""),
        ("measure", "c0"),
        ("judge", "c0"),
        ("make", "c1"),
        ("measure", "c1"),
        ("judge", "c1"),
        ("make", "c2"),
        ("measure", "c2"),
        ("judge", "c2"),
    ]
    states = {one.id: one.state for one in found.contenders}
    assert states == {"c0": "champion", "c1": "fell", "c2": "passed"}
    assert found.contender("c1").reason == "it fell"  # type: ignore[union-attr]
    assert not (tmp_path / "contenders" / "c1").exists()
    assert (tmp_path / "contenders" / "c2").exists()
    assert found.state == "done"
    assert found.outcome
    assert any(retune.step == "trying try c1" for retune in told)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (RetuneFailed("ValueError: no"), "failed"),
        (BuildFailed("its process died: signal 9", why="one\nlast words"), "failed"),
        (NotApplicable("nothing better was found"), "skipped"),
    ],
)
def test_one_that_fails_is_its_own_end(tmp_path: Path, error: AutodeployError, state: str) -> None:
    found = conducted(Bench([waiting("c1"), waiting("c2")], make_c1=error), tmp_path, Order(goal="size"))
    first, second = found.contender("c1"), found.contender("c2")
    assert first is not None
    assert second is not None
    assert first.state == state
    assert error.what in first.reason
    assert second.state == "passed"


def test_a_full_disk_is_the_end_of_all(tmp_path: Path) -> None:
    with pytest.raises(DiskFull):
        conducted(Bench([waiting("c1")], make_c1=DiskFull("no space left")), tmp_path)


def test_nothing_is_begun_that_cannot_be_ended_in_time(tmp_path: Path) -> None:
    bench = Bench([waiting("c1"), waiting("c2")])
    found = conducted(bench, tmp_path, Order(goal="size", budget_s=conduct.LEAST_S - 1))
    assert [one.reason for one in found.contenders[1:]] == ["the time was over"] * 2
    assert found.chosen == "c0"


def test_layouts_are_tried_where_there_is_a_trace_and_the_champion_gets_its_latencies(tmp_path: Path) -> None:
    bench = Bench([])
    bench.found = [
        Contender(
            id="", optimiser="layout", title="today", family="run", state="champion", figures=Figures(p95_s=0.02)
        ),
        Contender(id="", optimiser="layout", title="2 × 1", family="run", state="fell", layout=Layout(workers=2)),
    ]
    without = conducted(bench, tmp_path)
    assert [one.id for one in without.contenders] == ["c0"]
    bench.trace = True
    found = conducted(bench, tmp_path)
    champion, other = found.contenders
    assert champion.figures.p95_s == 0.02
    assert champion.figures.value == 0.9
    assert (other.id, other.title) == ("c1", "2 × 1")
    assert conducted(bench, tmp_path, Order(goal="quality")).contenders == (without.contenders[0],)


def test_a_second_change_is_made_of_the_first(tmp_path: Path) -> None:
    pruned = Contender(id="c1", optimiser="torch_prune", title="pruned", family="smaller")
    int8 = Contender(id="c2", optimiser="onnx_static", title="int8", family="smaller")
    found = conducted(Bench([pruned, int8], judge_c2=False), tmp_path, Order(goal="size"))
    both = found.contenders[-1]
    assert (both.base, both.title, both.state) == ("c1", "pruned, then int8", "passed")
