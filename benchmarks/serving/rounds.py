"""Rounds: each server in turn for a moment, again and again, so that noise hits all of them alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from autodeploy_magic.metrics import merge, quantile
from serving import processes
from serving.clients import Clients
from serving.job import Job, Outcome
from serving.servers import Server

__all__ = ["Figures", "Result", "interleave"]

WARM_S = 0.3


@dataclass(frozen=True)
class Figures:
    """One server's turn in one round."""

    cpu_ms: float
    rate: float
    client_share: float
    outcome: Outcome


@dataclass
class Result:
    """All rounds of one server. What it tells are medians over rounds; quantiles are of all its answers together."""

    server: Server
    rounds: list[Figures] = field(default_factory=list)

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of CPU that a right answer costs, of all the server's processes."""
        return statistics.median(one.cpu_ms for one in self.rounds)

    @property
    def rate(self) -> float:
        """Right answers in a second."""
        return statistics.median(one.rate for one in self.rounds)

    @property
    def client_share(self) -> float:
        """The share of a core that the clients used."""
        return statistics.median(one.client_share for one in self.rounds)

    @property
    def failed(self) -> int:
        return sum(sum(one.outcome.failed.values()) for one in self.rounds)

    def latency_ms(self, q: float) -> float:
        found = quantile(merge(one.outcome.histogram for one in self.rounds), q)
        return float("nan") if found is None else found * 1000

    def ratio(self, other: Result, of: Callable[[Figures], float] = lambda one: one.cpu_ms) -> float:
        """Its figure over another's: the median of the ratios within a round, which a slow minute does not move."""
        return statistics.median(of(a) / of(b) for a, b in zip(self.rounds, other.rounds, strict=True))


def interleave(
    clients: Clients, servers: Sequence[Server], *, rounds: int, seconds: float, connections: int = 8
) -> dict[str, Result]:
    """Ask each server for `seconds` in each of `rounds`, in turn and then backwards; returns name → result.

    Raises `RuntimeError` where a server gave no right answer in its turn.
    """
    results = {server.name: Result(server) for server in servers}
    for server in servers:
        _pause(server)
    try:
        for number in range(rounds):
            for server in servers if number % 2 == 0 else reversed(servers):
                results[server.name].rounds.append(_turn(clients, server, seconds, connections))
    finally:
        for server in servers:
            processes.proceed(server.roots() if server.pauses else ())
    return results


def _pause(server: Server) -> None:
    if server.pauses:
        processes.pause(server.roots())


def _turn(clients: Clients, server: Server, seconds: float, connections: int) -> Figures:
    if server.pauses:
        processes.proceed(server.roots())
    job = Job(port=server.port, exchanges=server.exchanges, keep_alive=connections, seconds=WARM_S)
    clients.run(job)
    roots = server.roots()
    before = processes.cpu_seconds(roots)
    outcome = clients.run(msgspec.structs.replace(job, seconds=seconds))
    used = processes.spent(before, processes.cpu_seconds(roots))
    _pause(server)
    if not outcome.ok:
        raise RuntimeError(f"{server.label} gave no right answer: {outcome.failed} {outcome.examples}")
    return Figures(
        cpu_ms=1000 * used / outcome.ok,
        rate=outcome.ok / outcome.seconds,
        client_share=outcome.client_cpu_s / outcome.seconds,
        outcome=outcome,
    )
