"""What a pod asks for, and when another is added: sums over what was measured of this version. README.md tells them.

cost_s       one_row_s + 150 us: the model on one row, and twice what the road around it was measured to take
cpu          100 requests/s · cost_s / 60 %, for each worker; from 250m up to its threads
memory       request: 1.25 · (memory of the idle image, for each worker) + 32 MiB
             limit: the larger of twice that memory and of that memory + 8 bodies of the largest size; or what the
             SLO line promises, where that is more than the request
utilisation  1 - cost_s · ln(1/(1-q)) / limit, of an objective pQ<limit: from 30 to 75 %; without one 60 %. The
             times in an M/M/1 queue are exponential with the rate (1 - utilisation) / cost_s, which gives each
             quantile (Kleinrock, Queueing Systems 1, section 3.2); with several workers it is on the safe side
rate         utilisation · cpu / cost_s: requests a second of one pod, above which another is added
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from autodeploy_magic.ship.base import Cargo
from autodeploy_magic.ship.kubernetes.quantities import cores, mebibytes, quantity
from autodeploy_magic.slo import METRICS, parse

__all__ = ["PRE_STOP_S", "START_S", "Sizing", "sized"]

PRE_STOP_S = 5
"""How long a pod answers on after it was told to go: until the last proxy has learned of it."""

START_S = 120
"""How long a pod may take to be ready: an image is in a second or two, and a node may be busy."""

_ROAD_S = 150e-6
_DESIGN_RATE = 100.0
_HEADROOM = 0.6
_LEAST_CPU, _LEAST_SHARE, _MOST_SHARE = 250.0, 0.3, 0.75
_MEBI = 2**20
_ASSUMED = {"onnx": 96 * _MEBI, "native": 320 * _MEBI}
"""Memory of an idle worker besides its model, where no image was measured."""
_ASSUMED_ROW_S = 0.005
_MARGIN_S = 5
_BODIES = 8


@dataclass(frozen=True)
class Sizing:
    """What one pod gets. `rate` is in requests a second, `utilisation` in percent of `cpu`; `assumed` what was not
    measured. `storage` is what the temporary folder may hold."""

    workers: int
    threads: int
    cpu: str
    memory: str
    memory_limit: str
    storage: str
    utilisation: int
    rate: int
    cost_s: float
    request_timeout_s: int
    drain_s: int
    grace_s: int
    assumed: tuple[str, ...] = ()


def sized(cargo: Cargo) -> Sizing:
    """Size a pod of `cargo`. The options `cpu` and `memory`, where a target has them and they are set, go before."""
    workers = max(1, cargo.desired.workers)
    cost_s, assumed_cost = _cost(cargo)
    typed = str(cargo.options.get("cpu", ""))
    threads = int(cargo.setting("threads")) or (max(1, int(quantity(typed) // workers)) if typed else 1)
    by_rate = 1000 * _DESIGN_RATE * cost_s / _HEADROOM
    cpu = typed or cores(workers * min(max(by_rate, _LEAST_CPU), threads * 1000.0))
    request, limit, assumed_memory = _memory(cargo, workers)
    share = _utilisation(cargo, cost_s)
    timeout_s = math.ceil(float(cargo.setting("request_timeout_s")))
    drain_s = max(math.ceil(float(cargo.setting("drain_s"))), timeout_s)
    tmpfs = cargo.options.get("storage") == "memory"
    storage = mebibytes(float(cargo.setting("record_bytes")) * 1.5 + 128 * _MEBI)
    if tmpfs:  # what lies in memory counts as the container's
        request, limit = (mebibytes(float(quantity(each) + quantity(storage))) for each in (request, limit))
    return Sizing(
        workers=workers,
        threads=threads,
        cpu=cpu,
        memory=request,
        memory_limit=limit,
        storage=storage,
        utilisation=round(100 * share),
        rate=max(1, int(share * float(quantity(cpu)) / cost_s)),
        cost_s=cost_s,
        request_timeout_s=timeout_s,
        drain_s=drain_s,
        grace_s=PRE_STOP_S + drain_s + timeout_s + _MARGIN_S,
        assumed=assumed_cost + assumed_memory,
    )


def _cost(cargo: Cargo) -> tuple[float, tuple[str, ...]]:
    """CPU seconds of a request of one row."""
    version = cargo.version
    measured = [one.one_row_s for one in version.candidates if one.format == version.format and one.one_row_s]
    if measured:
        return measured[0] + _ROAD_S, ()
    return _ASSUMED_ROW_S + _ROAD_S, (f"one row was not measured: {_ASSUMED_ROW_S * 1e3:g} ms is assumed",)


def _memory(cargo: Cargo, workers: int) -> tuple[str, str, tuple[str, ...]]:
    version, image = cargo.version, cargo.image
    assumed: tuple[str, ...] = ()
    if image is not None and image.rss_bytes and image.version_digest == version.digest:
        worker = float(image.rss_bytes)
    else:
        worker = _ASSUMED["onnx" if version.format.startswith("onnx") else "native"] + 3.0 * version.size_bytes
        assumed = (f"no image of this version was started: {mebibytes(worker)} of memory is assumed for a worker",)
    idle = worker * workers
    typed = str(cargo.options.get("memory", ""))
    if typed:
        return typed, typed, assumed
    request = 1.25 * idle + 32 * _MEBI
    limit = max(2 * idle, idle + _BODIES * float(cargo.setting("max_body_bytes")), request)
    promised = [one.limit for one in parse(cargo.desired.slo).objectives if one.metric == "memory"]
    if promised and promised[0] > request:
        limit = promised[0]
        return mebibytes(request), f"{max(int(limit // _MEBI), int(quantity(mebibytes(request)) // _MEBI))}Mi", assumed
    return mebibytes(request), mebibytes(limit), assumed


def _utilisation(cargo: Cargo, cost_s: float) -> float:
    shares = [
        1 - cost_s * math.log(1 / (1 - METRICS[one.metric].quantile)) / one.limit
        for one in parse(cargo.desired.slo).objectives
        if METRICS[one.metric].quantile
    ]
    return min(max(min(shares), _LEAST_SHARE), _MOST_SHARE) if shares else _HEADROOM
