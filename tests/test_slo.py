"""The SLO line: what it takes, what it refuses and with which words; and that it reads what it writes."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.slo import LONGEST, METRICS, OFF, Metric, Slo, parse, worded

TYPED = "p99<50ms, errors<0.1%, f1>0.9, memory<500MB, cpu<80%, drift<0.2"


def limits(text: str) -> dict[str, float]:
    return {one.metric: one.limit for one in parse(text).objectives}


def test_the_line_of_the_docs_is_read_in_the_units_of_its_metrics() -> None:
    slo = parse(TYPED)
    assert slo.text == TYPED
    assert limits(TYPED) == {
        "p99": 0.05,
        "errors": 0.001,
        "f1": 0.9,
        "memory": 500e6,
        "cpu": 0.8,
        "drift": 0.2,
    }


@pytest.mark.parametrize(
    "text",
    [
        "p99<50ms,errors<0.1%",
        "  P99 <= 50 MS ; ERRORS ≤ 0.1 %  ",
        "p99<50ms\nerrors<0.1%\n",
        "p99 < 50ms errors=<0.1%",
        "p99<50ms, errors<0.1%, p99<50ms",
        "p99<5e1ms;;errors<.1%",
    ],
)
def test_it_is_typed_in_many_ways(text: str) -> None:
    assert limits(text) == {"p99": 0.05, "errors": 0.001}
    assert parse(text).text == "p99<50ms, errors<0.1%"


@pytest.mark.parametrize(
    ("text", "metric", "limit"),
    [
        ("p50<900us", "p50", 900e-6),
        ("p50<900µs", "p50", 900e-6),
        ("p999<1.5min", "p999", 90.0),
        ("p95<2s", "p95", 2.0),
        ("memory<512MiB", "memory", 512 * 2**20),
        ("memory<1.5GiB", "memory", 1.5 * 2**30),
        ("disk_free>2GB", "disk_free", 2e9),
        ("cpu<2cores", "cpu", 2.0),
        ("cpu<0.5", "cpu", 0.5),
        ("errors<0.001", "errors", 0.001),
        ("availability>=99.9%", "availability", 0.999),
        ("accuracy>95%", "accuracy", 0.95),
        ("r2≥0.8", "r2", 0.8),
        ("mae<2.5", "mae", 2.5),
        ("drift<0.25", "drift", 0.25),
    ],
)
def test_units(text: str, metric: str, limit: float) -> None:
    (one,) = parse(text).objectives
    assert (one.metric, one.limit) == (metric, pytest.approx(limit))


def test_an_empty_line_learns_and_off_promises_nothing() -> None:
    assert parse("") == parse("  \n ") == parse("Learn") == Slo()
    assert parse(" OFF ") == Slo(text=OFF)


@pytest.mark.parametrize(
    ("text", "what", "told"),
    [
        ("p99<50", "50 of what", "p99<50ms, or p99<50s"),
        ("memory<500", "500 of what", "memory<500MB, or memory<500GB"),
        ("cpu<80", "80 of what", "cpu<80% or cpu<80cores"),
        ("errors>1%", "wrong way round", "errors<1%"),
        ("f1<0.9", "wrong way round", "f1>0.9"),
        ("error<1%", "called error", "did you mean errors?"),
        ("latency<1s", "called latency", "did you mean p99?"),
        ("precison>0.9", "called precison", "did you mean precision?"),
        ("weather<3", "called weather", "p999, errors"),
        ("p99<50ms, p99<60ms", "promised twice", "keep one of them: p99<50ms, or p99<60ms"),
        ("p99<-5ms", "no promise", "from 1us to 60min"),
        ("p99<0ms", "no promise", "from 1us to 60min"),
        ("errors<200%", "no promise", "less than 100 %"),
        ("errors<5", "no promise", "errors<5%"),
        ("errors<0%", "no promise", "one bad answer would end it"),
        ("errors<100%", "no promise", "that is always so"),
        ("availability>100%", "no promise", "one bad answer would end it"),
        ("f1>90", "no promise", "f1>90%"),
        ("p99=50ms", "no objective", "= is no limit"),
        ("p99", "no objective", "p99 has no limit"),
        ("p99<", "no objective", "the limit is missing"),
        ("p99<fast", "no objective", "fast is no number"),
        ("memory<5k", "unit", "kB, MB, GB"),
        ("drift<20%", "unit", "drift has no unit"),
        ("<3", "names nothing", "p50, p90"),
        (", ;", "holds no objective", "p99<50ms"),
        ("p99<1e999ms", "no promise", "60min"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_would_do(text: str, what: str, told: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        parse(text)
    assert what in caught.value.what
    assert told in str(caught.value)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_the_example_of_each_metric_is_one(metric: Metric) -> None:
    (one,) = parse(metric.example).objectives
    assert METRICS[one.metric] is metric
    assert one.text == metric.example
    assert metric.help
    assert metric.over


_NUMBERS = st.one_of(
    st.integers(1, 99).map(str),
    st.floats(1e-4, 100, allow_nan=False).map(repr),
    st.decimals("0.00001", 100, places=5).map(str),
)
_UNITS = {
    "latency": ["us", "µs", "ms", "s", "min"],
    "bytes": ["MB", "GB", "MiB", "GiB"],
    "share": ["%"],
    "score": ["%"],
    "cores": ["%", "cores"],
    "index": [""],
    "target": [""],
}
_OPS = {"<": ["<", "<=", "≤", " < "], ">": [">", ">=", "≥", " > "]}


def _parts(name: str) -> st.SearchStrategy[str]:
    metric = METRICS[name]
    pieces = (st.just(name), st.sampled_from(_OPS[metric.op]), _NUMBERS, st.sampled_from(_UNITS[metric.kind]))
    return st.tuples(*pieces).map("".join)


_LINES = st.lists(st.sampled_from([*METRICS]).flatmap(_parts), max_size=4).flatmap(
    lambda parts: st.sampled_from([", ", ";", "\n", " ", " ,  "]).map(lambda between: between.join(parts))
)


@given(_LINES)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_it_reads_what_it_writes(text: str) -> None:
    try:
        slo = parse(text)
    except InvalidOption:
        return
    assert parse(slo.text) == slo
    assert parse(slo.text.upper().replace(", ", "\n")) == slo


@given(st.one_of(st.text(max_size=200), st.text(alphabet="p99<>=≤%.,; 0e-mskb\n", max_size=200)))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_text_is_read_or_refused_in_our_words(text: str) -> None:
    try:
        slo = parse(text)
    except InvalidOption:
        return
    assert parse(slo.text) == slo


@pytest.mark.parametrize("piece", ["p99<5", " ", "<", "9", "a", "p99<50ms,", ",", "e9", "\n", "p99 <"])
def test_garbage_costs_nothing(piece: str) -> None:
    began = time.process_time()
    for length in (LONGEST, 10**6):
        with pytest.raises(InvalidOption):
            parse((piece * length)[:length] + "!")
    assert time.process_time() - began < 1.0


def test_values_read_as_people_say_them() -> None:
    said = [
        worded("p99", 0.088),
        worded("p99", 2.5),
        worded("p50", 42e-6),
        worded("errors", 0.0214),
        worded("errors", 0.00001),
        worded("memory", 512.3e6),
        worded("cpu", 1.234),
        worded("f1", 0.93124),
        worded("p99", 90),
        worded("drift", 0.0),
        worded("errors", 0.0),
    ]
    assert said == ["88 ms", "2.5 s", "42 us", "2.14 %", "0.001 %", "512 MB", "123 %", "0.931", "1.5 min", "0", "0 %"]
