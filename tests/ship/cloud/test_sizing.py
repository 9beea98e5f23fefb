"""What is derived from what was measured, and the limits of each place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.ship.base import Cargo
from autodeploy_magic.ship.cloud import sizing

Make = Callable[..., Cargo]


def test_memory_is_twice_what_a_worker_had_and_a_guess_where_none_was_started(make: Make) -> None:
    cargo = make("cloudrun")
    assert sizing.memory_mib(cargo, 1) == 64 + 2 * 73
    assert sizing.memory_mib(cargo, 3) == 64 + 6 * 73
    assert sizing.measured_notes(cargo) == ()
    guess = make("cloudrun", image=None)
    assert sizing.memory_mib(guess, 2) == 64 + 2 * 512
    assert "guess of 512 MiB" in sizing.measured_notes(guess)[0]


def test_a_start_may_take_ten_times_what_it_took(make: Make) -> None:
    cargo = make("cloudrun")
    assert cargo.image is not None
    assert sizing.start_s(cargo) == 30
    assert sizing.start_s(make("cloudrun", image=replace(cargo.image, ready_s=7.01))) == 71
    assert sizing.start_s(make("cloudrun", image=replace(cargo.image, ready_s=100.0))) == 600


@pytest.mark.parametrize(
    ("slo", "workers", "at_once"),
    [("p99<50ms", 1, 12), ("p99<50ms", 4, 49), ("", 1, 61), ("p50<8ms, p99<2ms", 1, 1), ("off", 1, 61)],
)
def test_requests_at_once_follow_the_promised_latency(make: Make, slo: str, workers: int, at_once: int) -> None:
    cargo = make("cloudrun", desired={"slo": slo})
    assert sizing.concurrency(cargo, workers, 1000) == at_once
    assert sizing.concurrency(cargo, workers, 10) == min(10, at_once)


def test_the_strictest_latency_and_the_share_of_errors_are_read_from_the_slo_line(make: Make) -> None:
    cargo = make("cloudrun", desired={"slo": "p50<10ms, p99<50ms, availability>99.9%"})
    assert sizing.latency_limit(cargo) == ("p99", 0.05)
    assert sizing.error_share(cargo) == pytest.approx(0.001)
    assert sizing.latency_limit(make("cloudrun")) is None
    assert sizing.error_share(make("cloudrun", desired={"slo": "p999<1s"})) == 0.01
    assert sizing.latency_limit(make("cloudrun", desired={"slo": "p999<1s"})) == ("p99.9", 1.0)


def test_machines_have_a_core_a_worker_and_memory_to_spare(make: Make) -> None:
    machines = (("small", 2, 1), ("large", 4, 16))
    cargo = make("vertex")
    assert cargo.image is not None
    assert sizing.smallest(cargo, machines) == "small"
    assert sizing.smallest(make("vertex", desired={"workers": 3}), machines) == "large"
    heavy = replace(cargo.image, rss_bytes=400 * 2**20)
    assert sizing.smallest(make("vertex", image=heavy), machines) == "large"
    assert sizing.smallest(make("vertex", desired={"workers": 99}), machines) == "large"


def _serverless(make: Make, rss_mib: int, **options: str) -> Any:
    from autodeploy_magic.ship.cloud.sagemaker import _variant

    cargo = make("sagemaker")
    assert cargo.image is not None
    image = replace(cargo.image, rss_bytes=rss_mib * 2**20)
    return _variant(make("sagemaker", image=image, kind="serverless", **options))["ServerlessConfig"]


def test_a_serverless_endpoint_has_memory_in_steps(make: Make) -> None:
    assert _serverless(make, 73)["MemorySizeInMB"] == 1024
    assert _serverless(make, 500)["MemorySizeInMB"] == 2048
    assert _serverless(make, 73, memory="3072")["MemorySizeInMB"] == 3072
    with pytest.raises(InvalidOption, match="memory cannot be 1500 MiB"):
        _serverless(make, 73, memory="1500")
    with pytest.raises(InvalidOption, match="6144 is the most"):
        _serverless(make, 4000)


@pytest.mark.parametrize(
    ("place", "options", "says"),
    [
        ("lambda", {"memory": "64"}, "128 to 10240"),
        ("lambda", {"memory": "20000"}, "128 to 10240"),
        ("lambda", {"timeout": "901"}, "1 to 900"),
        ("lambda", {"concurrency": "-1"}, "1 to 10000"),
        ("sagemaker", {"min_instances": "4", "max_instances": "2"}, "max_instances is 2"),
        ("sagemaker", {"kind": "serverless", "concurrency": "201"}, "1 to 200"),
        ("vertex", {"cpu_target": "101"}, "1 to 100"),
        ("vertex", {"min_instances": "9"}, "max_instances is 4"),
        ("azureml", {"min_instances": "9"}, "max_instances is 5"),
        ("azureml", {"canary": "100"}, "1 to 99"),
        ("azureml", {"endpoint": "ab"}, "endpoint cannot be 'ab'"),
        ("cloudrun", {"cpu": "3"}, "cpu cannot be 3"),
        ("cloudrun", {"cpu": "1", "memory": "8192"}, "128 to 4096"),
        ("cloudrun", {"min_instances": "11"}, "min_instances is 11"),
        ("cloudrun", {"concurrency": "1001"}, "1 to 1000"),
        ("knative", {"min_scale": "11"}, "min_scale is 11"),
        ("knative", {"concurrency": "501"}, "1 to 500"),
    ],
)
def test_what_a_place_does_not_have_is_refused_before_anything_is_written(
    ship: Callable[..., Any], place: str, options: dict[str, str], says: str
) -> None:
    with pytest.raises(InvalidOption) as caught:
        ship(place, **options)
    assert says in str(caught.value)
    assert caught.value.fix


def test_cloud_run_gets_the_memory_that_its_processors_need_and_what_is_recorded(ship: Callable[..., Any]) -> None:
    def limits(**changes: Any) -> Any:
        spec = ship("cloudrun", **changes).yaml("service.yaml")["spec"]["template"]["spec"]
        return spec["containers"][0]["resources"]["limits"]

    assert limits() == {"cpu": "1", "memory": "512Mi"}
    assert limits(desired={"workers": 3}) == {"cpu": "4", "memory": "2048Mi"}
    assert limits(desired={"settings": {"record_bytes": 2**30}})["memory"] == "1920Mi"


def test_lambda_has_a_whole_core_and_time_for_a_start(ship: Callable[..., Any]) -> None:
    function = ship("lambda").yaml("template.yaml")["Resources"]["Function"]["Properties"]
    assert (function["MemorySize"], function["Timeout"]) == (1769, 60)
    function = ship("lambda", memory="512", timeout="9", concurrency="7").yaml("template.yaml")["Resources"]["Function"]
    found = function["Properties"]
    assert (found["MemorySize"], found["Timeout"], found["ReservedConcurrentExecutions"]) == (512, 9, 7)
