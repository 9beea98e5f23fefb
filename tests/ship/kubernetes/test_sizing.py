"""What a pod asks for: the sums of the README, from what was measured."""

from __future__ import annotations

import pytest
from clusters import IMAGE, Make
from msgspec.structs import replace
from records import make_version

from autodeploy_magic.ship.kubernetes.quantities import quantity
from autodeploy_magic.ship.kubernetes.sizing import sized

MIB = 2**20


def took(seconds: float | None) -> dict[str, object]:
    """A version of which one row took so long."""
    [first, *others] = make_version().candidates
    return {"candidates": (replace(first, one_row_s=seconds), *others)}


def test_a_small_model_gets_little_and_a_slow_one_its_threads(make: Make) -> None:
    assert sized(make()).cpu == "250m"
    assert sized(make(version=took(0.003))).cpu == "550m"  # 100 / s of 3.15 ms at 60 %
    assert sized(make(version=took(0.05))).cpu == "1"
    assert sized(make(version=took(0.05), desired={"workers": 2, "settings": {"threads": 3}})).cpu == "6"


def test_threads_follow_the_cores_that_are_typed(make: Make) -> None:
    size = sized(make(cpu="4", desired={"workers": 2}))
    assert (size.cpu, size.threads) == ("4", 2)
    assert sized(make(cpu="300m")).threads == 1
    assert sized(make(cpu="4", desired={"settings": {"threads": 1}})).threads == 1


def test_memory_is_measured_and_the_slo_is_its_limit(make: Make) -> None:
    size = sized(make(slo="memory<500MB"))
    assert quantity(size.memory) == 128 * MIB  # 1.25 · 73 + 32, in steps of 16
    assert quantity("476Mi") == quantity(size.memory_limit) <= 500_000_000
    bodies = sized(make(slo=""))
    assert quantity(bodies.memory_limit) >= (73 + 8 * 16) * MIB
    two = sized(make(slo="", desired={"workers": 2}))
    assert quantity(two.memory) > 1.8 * float(quantity(bodies.memory)) - 32 * MIB
    assert not size.assumed


def test_a_promise_that_the_image_breaks_already_is_no_limit(make: Make) -> None:
    size = sized(make(slo="memory<60MB"))
    assert quantity(size.memory_limit) > quantity(size.memory)


@pytest.mark.parametrize("image", [None, replace(IMAGE, version_digest="9" * 64), replace(IMAGE, rss_bytes=0)])
def test_what_was_not_measured_is_said_to_be_assumed(make: Make, image: object) -> None:
    size = sized(make(image=image))
    assert any("of memory is assumed" in each for each in size.assumed)
    [cost] = sized(make(version=took(None))).assumed
    assert "one row was not measured" in cost


def test_a_folder_in_memory_counts(make: Make) -> None:
    disk, memory = sized(make()), sized(make(storage="memory"))
    grown = quantity(memory.memory_limit) - quantity(disk.memory_limit)
    assert 0 <= grown - quantity(disk.storage) <= 16 * MIB


def test_the_slower_against_its_promise_the_earlier_another_pod_comes(make: Make) -> None:
    quick = sized(make(slo="p99<50ms"))
    slow = sized(make(slo="p99<50ms", version=took(0.005)))
    late = sized(make(slo="p99<50ms", version=took(0.02)))
    assert (quick.utilisation, slow.utilisation, late.utilisation) == (75, 53, 30)
    assert sized(make(slo="errors<1%")).utilisation == 60
    assert slow.rate == int(0.5257 * 0.9 / 0.00515) == sized(make(slo="p99<50ms", version=took(0.005))).rate


def test_nothing_is_cut_off_when_it_stops(make: Make) -> None:
    size = sized(make(desired={"settings": {"request_timeout_s": 120.0, "drain_s": 5.0}}))
    assert size.drain_s == 120
    assert size.grace_s > 5 + 120 + 120
