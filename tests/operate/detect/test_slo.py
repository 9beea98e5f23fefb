"""The detector "slo" on simulated streams: what it tells, how soon, and when it holds its tongue."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from promised import START, VERSIONS, answers, moment, used
from records import make_version

from autodeploy_magic.contracts import Desired, Traffic
from autodeploy_magic.health import ColumnDrift, Figure, Finding, ObjectiveState, Quality
from autodeploy_magic.operate.detect.base import Answers, Moment
from autodeploy_magic.operate.detect.slo import SloDetector, state
from autodeploy_magic.registry import DETECTORS, load

LINE = "p99<50ms, errors<0.1%, memory<500MB, cpu<80%"
DAY_S = 86400


class Watched:
    """A detector, and what it told from second to second."""

    def __init__(self, slo: str) -> None:
        self.slo = slo
        self.detector = SloDetector("iris")
        self.t = START
        self.told: list[tuple[int, Finding]] = []
        self.last: Moment = moment(START - 1, None, slo)
        self._on: set[tuple[str, str]] = set()

    def see(self, stream: Iterable[Answers | None], **more: Any) -> list[tuple[int, Finding]]:
        """What begins to fire, with how many seconds into the stream."""
        began, before = self.t, len(self.told)
        for found in stream:
            self.last = moment(self.t, found, self.slo, **{"used": used(self.t), **more})
            findings = self.detector.see(self.last)
            on: set[tuple[str, str]] = {(finding.rule, finding.severity) for finding in findings}
            new = [finding for finding in findings if (finding.rule, finding.severity) not in self._on]
            self.told += [(self.t - began + 1, finding) for finding in new]
            self._on = on
            self.t += 1
        return self.told[before:]

    def idle(self, seconds: int, **more: Any) -> list[tuple[int, Finding]]:
        return self.see((Answers() for _ in range(seconds)), **more)

    def stands(self, metric: str) -> ObjectiveState:
        return next(one for one in self.last.objectives if one.metric == metric)

    @property
    def firing(self) -> set[str]:
        return {rule for rule, _ in self._on}


def daily(second: int) -> float:
    return 25 - 20 * math.cos(2 * math.pi * second / DAY_S)


@pytest.mark.parametrize("rate", [1, 10, 100, daily], ids=["1/s", "10/s", "100/s", "daily cycle"])
def test_traffic_that_keeps_its_objectives_is_quiet(rate: Any) -> None:
    """A day of a daily cycle, four hours of steady traffic, at a third of the errors that are allowed."""
    watched = Watched(LINE)
    seconds = DAY_S if rate is daily else DAY_S // 6
    told = watched.see(answers(seconds, rate, seed=6, errors=0.0003))
    assert [finding.text for _, finding in told] == []
    assert {one.state for one in watched.last.objectives} == {"met"}


def test_traffic_at_the_very_edge_is_no_storm() -> None:
    watched = Watched("p99<32.1ms, errors<1%")  # p99 is 32.0 ms
    told = watched.see(answers(6 * 3600, 20, seed=5, errors=0.0099))
    assert len(told) <= 1


@pytest.mark.parametrize(
    ("rate", "errors", "within_s"), [(100, 0.02, 15), (10, 0.1, 15), (10, 1.0, 6), (1, 1.0, 12)], ids=str
)
def test_errors_are_told_in_time(rate: float, errors: float, within_s: int) -> None:
    watched = Watched(LINE)
    watched.see(answers(3600, rate, seed=7, errors=0.0003))
    told = watched.see(answers(60, rate, seed=8, errors=errors))
    critical = [(after, finding) for after, finding in told if finding.severity == "critical"]
    after, finding = critical[0]
    assert after <= within_s
    assert (finding.rule, finding.objective, finding.version, finding.limit) == ("slo:errors", "given", 1, 0.001)
    assert "requests failed within 15 s, 0.1 % may: the error budget burns" in finding.text
    assert finding.value is not None
    assert finding.value > 0.001
    assert watched.stands("errors").state == "broken"
    assert state(watched.last.objectives) == "broken"


@pytest.mark.parametrize(("line", "times", "within_s"), [("p99<40ms", 2, 30), ("p50<13ms", 2, 30), ("p99<50ms", 3, 15)])
def test_slow_answers_are_told_in_time(line: str, times: float, within_s: int) -> None:
    watched = Watched(line)
    watched.see(answers(3600, 100, seed=9))
    told = watched.see(answers(60, 100, seed=10, median_s=0.010 * times))
    after, finding = told[0]
    assert after <= within_s
    limit = line.partition("<")[2].replace("ms", " ms")
    assert finding.text.startswith(f"{finding.metric} ")
    assert f" > {limit} for " in finding.text
    assert finding.value is not None
    assert finding.limit is not None
    assert finding.value > finding.limit
    assert watched.stands(finding.metric).value is not None


def test_a_bad_version_is_told_within_15_s_and_the_next_one_begins_clean() -> None:
    watched = Watched("errors<1%")
    watched.see(answers(1800, 50, seed=1))
    swap = {"number": 2, "swapped_s": float(watched.t)}
    told = watched.see(answers(20, 50, seed=2, errors=0.3), **swap)
    after, finding = told[0]
    assert after <= 15
    assert (finding.severity, finding.version) == ("critical", 2)
    back = {"number": 1, "swapped_s": float(watched.t)}
    assert watched.see(answers(600, 50, seed=3), **back) == []
    assert watched.firing == set()
    left = watched.stands("errors").budget_left
    assert left is not None
    assert 0.5 < left < 0.9, "the budget is the deployment's, and some of it is spent"


def test_a_canary_that_burns_is_named_and_the_champion_is_not() -> None:
    watched = Watched("errors<1%, p99<50ms")
    traffic = Traffic(canary=2, share=0.1)
    desired = Desired(name="iris", version=1, executable="python", slo=watched.slo, traffic=traffic)
    good, bad = answers(300, 90, seed=1), answers(300, 10, seed=2, errors=0.5)
    found: list[Finding] = []
    for champion, canary in zip(good, bad, strict=True):
        both = Answers(champion.requests + canary.requests, 0, champion.failed + canary.failed)
        by_version = {1: champion, 2: canary}
        watched.see([both], desired=desired, by_version=by_version)
        found = found or [finding for _, finding in watched.told]
    assert {finding.version for _, finding in watched.told} == {2}
    assert found[0].text.startswith("canary v2: ")
    assert watched.stands("errors").state == "met"
    ended = msgspec.structs.replace(desired, traffic=Traffic())
    watched.see(answers(5, 100, seed=3), desired=ended)
    assert watched.firing == set()


def test_gaps_are_neither_good_nor_bad() -> None:
    watched = Watched(LINE)
    watched.see(answers(600, 50, seed=1))
    watched.see(None for _ in range(120))
    watched.t += 5000
    assert watched.see(answers(600, 50, seed=2)) == []
    told = watched.see(answers(30, 50, seed=3, errors=0.5))
    assert told[0][0] <= 8


def test_a_clock_that_is_set_back_does_not_blind_it() -> None:
    watched = Watched(LINE)
    watched.see(answers(600, 50, seed=1))
    watched.t -= 7200
    assert watched.see(answers(60, 50, seed=2)) == []
    assert watched.see(answers(30, 50, seed=3, errors=0.5))[0][0] <= 8


def test_a_fault_that_is_over_is_told_of_in_the_past_tense_until_it_is_sure() -> None:
    watched = Watched("errors<1%")
    watched.see(answers(3600, 50, seed=1))
    watched.see(answers(15, 50, seed=2, errors=0.5))
    texts: list[str] = []
    for found in answers(120, 50, seed=3):
        texts += [finding.text for finding in watched.detector.see(moment(watched.t, found, watched.slo))]
        watched.t += 1
    assert 15 <= len(texts) <= 60
    assert any("too fast until just now" in text for text in texts)


def test_nothing_asked_is_nothing_known() -> None:
    watched = Watched("p99<50ms, errors<0.1%, f1>0.9, drift<0.2")
    assert watched.idle(400) == []
    assert {one.state for one in watched.last.objectives} == {"unknown"}
    assert state(watched.last.objectives) == "unset"


def test_memory_has_to_be_beyond_its_limit_for_a_while_and_clears_below_it() -> None:
    watched = Watched("memory<500MB")

    def memory(megabytes: float, seconds: int) -> list[tuple[int, Finding]]:
        told = []
        for _ in range(seconds):
            told += watched.see([Answers()], used=used(watched.t, memory_bytes=megabytes * 1e6))
        return told

    assert memory(400, 60) + memory(600, 9) + memory(400, 60) == []
    told = memory(600, 12)
    assert [finding.text for _, finding in told] == ["memory 600 MB > 500 MB"]
    assert told[0][1].severity == "critical"
    for _ in range(20):  # about the limit: still one alert
        assert memory(505, 5) + memory(490, 5) == []
    assert watched.firing == {"slo:memory"}
    memory(470, 31)
    assert watched.firing == set()
    assert watched.stands("memory").state == "met"


def test_cpu_is_a_mean_and_disk_free_is_the_other_way_round() -> None:
    watched = Watched("cpu<80%, disk_free>1GB")
    assert watched.see([Answers()] * 20, used=used(0, cpu_s=1.0)) == []
    assert watched.see([Answers()] * 20, used=used(0, cpu_s=0.1)) == []
    told = watched.see([Answers()] * 70, used=used(0, cpu_s=1.5, free_bytes=0.5e9))
    (disk_after, disk), (cpu_after, cpu) = told
    assert (disk.text, disk_after) == ("disk_free 500 MB < 1 GB", 10)
    assert cpu.text.startswith("cpu 1")
    assert cpu.text.endswith(" % > 80 %")
    assert 20 < cpu_after < 45


def test_drift_is_the_worst_column_s() -> None:
    watched = Watched("drift<0.2")
    columns = [ColumnDrift(column=f"x{i}", method="psi", value=i / 10, limit=0.2, state="same") for i in range(5)]
    tests = [ColumnDrift(column="x1", method="ks", value=9.0, limit=0.2, state="same")]
    told = watched.idle(20, drift=(*columns, *tests))
    assert told[0][1].text.startswith("drift 0.4 > 0.2")


@pytest.mark.parametrize(
    ("figure", "stands", "severity"),
    [
        (Figure(metric="f1", value=0.80, low=0.75, high=0.85, labels=400), "broken", "critical"),
        (Figure(metric="f1", value=0.88, low=0.85, high=0.91, labels=400), "burning", "warning"),
        (Figure(metric="f1", value=0.93, low=0.88, high=0.97, labels=400), "met", None),
        (Figure(metric="f1", value=0.40, low=0.30, high=0.60, labels=20), "unknown", None),
        (Figure(metric="f1", value=0.40, low=0.30, high=0.60, labels=400, estimated=True), "unknown", None),
    ],
)
def test_quality_is_judged_by_its_interval(figure: Figure, stands: str, severity: str | None) -> None:
    watched = Watched("f1>0.9")
    told = watched.idle(3, quality=Quality(name="iris", figures=(figure,)))
    assert watched.stands("f1").state == stands
    assert [finding.severity for _, finding in told] == ([severity] if severity else [])
    if told:
        assert f"over {figure.labels} labels, 95 % interval" in told[0][1].text


def test_another_line_is_heeded_at_once_and_what_stays_is_kept() -> None:
    watched = Watched("errors<1%, p99<50ms")
    watched.see(answers(60, 50, seed=1, errors=0.5))
    assert "slo:errors" in watched.firing
    watched.slo = "errors<1%, memory<500MB"
    watched.see(answers(1, 50, seed=2))
    assert "slo:errors" in watched.firing
    assert [one.text for one in watched.last.objectives] == ["errors<1%", "memory<500MB"]
    watched.slo = "off"
    watched.see(answers(1, 50, seed=2))
    assert (watched.firing, watched.last.objectives) == (set(), ())


def test_what_is_learned_fits_the_first_minutes_and_only_warns() -> None:
    watched = Watched("")
    assert watched.see(answers(600, 50, seed=1, errors=0.002)) == []
    texts = [one.text for one in watched.last.objectives]
    assert [text.partition("<")[0] for text in texts] == ["p99", "errors", "memory"]
    limit = watched.stands("p99").limit
    assert 0.090 <= limit <= 0.11  # three times the 32 ms
    assert watched.stands("errors").limit == 0.01
    assert watched.stands("memory").limit == pytest.approx(460e6)
    assert all(one.learned for one in watched.last.objectives)
    assert watched.see(answers(3600, 50, seed=2, errors=0.002)) == []
    slow = watched.see(answers(60, 50, seed=3, median_s=0.040))
    assert {finding.severity for _, finding in slow} == {"warning"}
    assert all(finding.objective == "learned" and "learned: p99<" in finding.text for _, finding in slow)
    watched.see(answers(600, 50, seed=4))
    failing = watched.see(answers(60, 50, seed=5, errors=0.2))
    assert "critical" in {finding.severity for _, finding in failing if finding.metric == "errors"}


def test_what_is_broken_from_the_start_is_told_and_not_learned() -> None:
    watched = Watched("")
    told = watched.see(answers(400, 20, seed=1, errors=0.6))
    after, finding = told[0]
    assert after <= 15
    assert (finding.text.partition(" of ")[0].endswith(" %"), finding.severity) == (True, "critical")
    assert [one.text for one in watched.last.objectives] == ["errors<5%"]


def test_nothing_is_learned_while_something_fires_nor_in_a_drill() -> None:
    other = Finding(rule="latency", detector="latency", metric="p99", severity="warning", text="slow")
    for more in ({"drill": "slow"}, {"findings": (other,)}):
        watched = Watched("")
        watched.see(answers(500, 50, seed=1, median_s=0.1), **more)
        assert [one.text for one in watched.last.objectives] == ["errors<5%"]
        watched.see(answers(315, 50, seed=2))
        assert watched.stands("p99").limit < 0.11


def test_few_answers_take_longer_to_learn_from() -> None:
    watched = Watched("")
    watched.see(answers(400, 0.5, seed=1))
    assert [one.metric for one in watched.last.objectives] == ["errors", "memory"]
    watched.see(answers(600, 0.5, seed=2))
    assert [one.metric for one in watched.last.objectives] == ["p99", "errors", "memory"]


@pytest.mark.parametrize("change", ["format", "workers", "threads", "version"])
def test_it_learns_again_where_it_is_run_in_another_way(change: str) -> None:
    watched = Watched("")
    watched.see(answers(320, 50, seed=1))
    learned = [one.text for one in watched.last.objectives]
    assert len(learned) == 3
    desired = Desired(name="iris", version=1, executable="python")
    more = {
        "format": {"version": make_version(2, format="native")},
        "workers": {"desired": msgspec.structs.replace(desired, workers=4)},
        "threads": {"desired": msgspec.structs.replace(desired, settings={"threads": 2})},
        "version": {"version": VERSIONS[2]},
    }[change]
    watched.see(answers(2, 50, seed=2), **more)
    now = [one.text for one in watched.last.objectives]
    assert now == (learned if change == "version" else ["errors<5%"])


@pytest.mark.parametrize("seed", range(8))
def test_whatever_comes_findings_and_states_agree(seed: int) -> None:
    """Gaps, clocks set back, swaps, canaries, other lines, bursts: all at random."""
    rng = random.Random(seed)
    detector, t, number, canary = SloDetector("iris"), START, 1, 0
    lines = ["", LINE, "p50<12ms, p999<1s, refused<1%, availability>99%", "off", "f1>0.9, drift<0.2"]
    slo, swapped, bad = lines[0], float(START), 0.0
    for _ in range(1500):
        t += rng.choice([1] * 30 + [-5, 3, 90, 4000])
        if rng.random() < 0.01:
            slo = rng.choice(lines)
        if rng.random() < 0.01:
            number, swapped = rng.randint(1, 4), float(t)
        if rng.random() < 0.02:
            canary, bad = rng.choice([0, 1, 2, 3, 4]), rng.choice([0.0, 0.0, 0.1, 0.9])
        canary = 0 if canary == number else canary
        by_version = {}
        for one in {number, canary, 9} - {0}:
            count = rng.choice([0, 1, 20])
            failed = sum(rng.random() < bad for _ in range(count))
            by_version[one] = Answers(
                count, count // 7, failed, {rng.choice([-230, -150, -20]): count} if count else {}
            )
        answered = None if rng.random() < 0.05 else Answers(sum(one.requests for one in by_version.values()))
        desired = Desired(name="iris", version=number, executable="python", slo=slo, traffic=Traffic(canary=canary))
        more = {"desired": desired, "by_version": by_version, "swapped_s": swapped, "used": used(t)}
        now = moment(t, answered, slo, number=number, **more)
        findings = detector.see(now)
        states = {one.metric: one for one in now.objectives}
        told = {finding.metric for finding in findings if finding.version in (0, number)}
        assert told == {metric for metric, one in states.items() if one.state in ("burning", "broken")}
        assert len({finding.rule for finding in findings}) == len(findings)
        assert all(finding.severity == "warning" for finding in findings if _mild(finding))


def _mild(finding: Finding) -> bool:
    return finding.objective == "learned" and finding.metric != "errors"


def test_the_registry_has_it_last() -> None:
    assert list(DETECTORS)[-1] == "slo"
    assert load(DETECTORS["slo"]) is SloDetector
    assert all(vars(SloDetector.about).values())
