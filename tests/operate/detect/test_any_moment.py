"""No detector of metrics raises, or tells of a number that is none, whatever it is given."""

import math

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seconds import DESIRED, STATUS, second, worker

from autodeploy_magic import registry
from autodeploy_magic.contracts import encode
from autodeploy_magic.metrics.resources import Resources
from autodeploy_magic.operate.detect.base import Answers, WorkerSight

OURS = ("workers", "latency", "rate", "errors", "resources", "leak", "disk", "certificate")

count = st.integers(0, 10**6)
span = st.floats(0, 1e9)
histogram = st.dictionaries(st.integers(-700, 700), st.integers(1, 10**6), max_size=5)
answers = st.none() | st.builds(Answers, requests=count, refused=count, failed=count, latency=histogram)
used = st.none() | st.builds(
    Resources,
    second=count,
    span_s=st.floats(0, 100),
    processes=st.integers(0, 9),
    cpu_s=st.floats(0, 1e6),
    memory_bytes=st.integers(0, 2**50),
    rss_bytes=st.integers(0, 2**50),
    threads=count,
    files=count,
    disk_bytes=st.integers(-1, 2**50),
    disk_free_bytes=st.integers(-1, 2**50),
)
sight = st.builds(
    WorkerSight,
    pid=st.integers(1, 3),
    version=st.just(1),
    age_s=span,
    stopped=st.booleans(),
    silent_s=span | st.just(math.inf),
    idle_s=span,
    held_s=span,
)
moment = st.fixed_dictionaries(
    {
        "step": st.integers(-5, 5) | st.integers(-(10**6), 10**6),
        "answers": answers,
        "used": used,
        "workers": st.lists(sight, max_size=3),
        "waiting": count,
        "state": st.sampled_from(["running", "degraded", "failed", "starting", "stopped"]),
        "wanted": st.sampled_from(["running", "stopped"]),
        "until": st.sampled_from([0.0, 1.0, 1.8e9, 1e12]),
        "serving": st.integers(0, 3),
        "times": st.integers(1, 30),
    }
)


@pytest.mark.parametrize("name", OURS)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(moments=st.lists(moment, max_size=20))
def test_any_moment_is_seen(name: str, moments: list[dict[str, object]]) -> None:
    detector = registry.load(registry.DETECTORS[name])("iris")
    t = 0
    for given_moment in moments:
        one = dict(given_moment)
        for _ in range(one["times"]):
            t += one["step"]
            status = msgspec.structs.replace(
                STATUS,
                state=one["state"],
                certificate_until=one["until"],
                workers=tuple(worker(pid) for pid in range(1, one["serving"] + 1)),
            )
            seen = second(
                t,
                one["answers"],
                used=one["used"],
                workers=tuple(one["workers"]),
                waiting=one["waiting"],
                status=status,
                desired=msgspec.structs.replace(DESIRED, state=one["wanted"]),
            )
            for finding in detector.see(seen):
                encode(finding)
                assert finding.detector == name
                assert finding.text
                assert all(number is None or math.isfinite(number) for number in (finding.value, finding.limit))


@pytest.mark.parametrize("name", OURS)
def test_what_is_said_of_it_is_complete(name: str) -> None:
    about = registry.load(registry.DETECTORS[name]).about
    assert all((about.help, about.defaults, about.detects, about.cost))
