"""The versions of one worker: loaded beside each other, given their traffic, and let go of once nobody needs them.

A change comes from the supervisor, over the control socket, in two steps. `Prepare` loads what is not here yet, aside
and in a thread, while requests go on; `Commit` gives the front another lineup, which is one assignment. What was
prepared is dropped where no commit follows. What a commit leaves over is closed when the last request that began under
it is answered.
"""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.contracts import Traffic, Version, decode
from autodeploy_magic.errors import AutodeployError, StartFailed
from autodeploy_magic.metrics import ComparisonRow
from autodeploy_magic.reservoir.labels import AddLabels
from autodeploy_magic.serve.bento import share
from autodeploy_magic.serve.exposition import Exposition
from autodeploy_magic.serve.faults import Disturbance
from autodeploy_magic.serve.http.connection import REQUEST_TIMEOUT_S
from autodeploy_magic.serve.http.front import Front
from autodeploy_magic.serve.http.mount import LazyBento
from autodeploy_magic.serve.lane.lane import LaneStats
from autodeploy_magic.serve.lineup.orders import Commit, Disturb, Order, Place, Prepare
from autodeploy_magic.serve.lineup.shadow import Comparing
from autodeploy_magic.serve.lineup.together import brings_code
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.serve.road import Lineup, Repository, Road

__all__ = ["Change", "Versions"]

log = logging.getLogger(__name__)

_LATE_S = 5.0


class Versions:
    """What is loaded, and the front's lineup made of it. All but `load` is called by the event loop's thread.

    `threads` is how many one run of a model may use. `compare` takes what shadows answered. `left_out` are versions
    beside the champion that could not be loaded at the start, each with why: the champion serves without them.
    `aliases` are further paths of every road; see `Road`.
    """

    def __init__(
        self,
        *,
        threads: int | None = None,
        repository: Repository | None = None,
        exposition: Exposition | None = None,
        requests: Path | AddLabels | None = None,
        compare: Callable[[Iterable[ComparisonRow]], None] = lambda _: None,
        worker: int = 0,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self.left_out: dict[int, AutodeployError] = {}
        self._threads = threads
        self._repository = repository
        self._exposition = exposition
        self._requests = requests
        self._compare = compare
        self._worker = worker
        self._aliases = aliases or {}
        self._roads: dict[int, Road] = {}
        self._places: dict[int, Place] = {}
        self._parting: list[Road] = []
        self._before: list[tuple[weakref.ref[Lineup], float]] = []
        self._traffic = Traffic()
        self._mount: LazyBento | None = None
        self._front: Front | None = None

    # --- the start

    def start(self, champion: Place, beside: Sequence[Place], traffic: Traffic) -> Lineup:
        """Load all and return the first lineup. Raises what the champion's loading raises."""
        self._roads = self.load([champion])
        self._places = {place.number: place for place in (champion, *beside)}
        for place in beside:
            try:
                self._roads |= self.load([place])
            except Exception as error:  # the model's own library, or the person's code, may raise anything
                log.exception("version %d is left out", place.number)
                self.left_out[place.number] = _explained(place.number, error)
        self._traffic = traffic
        return self._lineup(champion.number, traffic)

    def attend(self, front: Front) -> None:
        """Make changes in this front from now on."""
        self._front = front

    # --- what it tells

    @property
    def champion(self) -> int:
        """The number of the version that answers what names no other."""
        return self.lineup.champion.version.number

    @property
    def lineup(self) -> Lineup:
        assert self._front is not None
        return self._front.lineup

    def describe(self) -> dict[str, Any]:
        """Which version serves, and what others are given, as the supervisor asks for it."""
        return {"version": self.champion, "traffic": msgspec.to_builtins(self._traffic)}

    def oldest_s(self) -> float:
        """For how long the oldest request that waits, or is in the model, has been under way; 0.0 where none is."""
        return max([road.lane.oldest_s() for road in (*self._parting, *self._roads.values())], default=0.0)

    def lane_stats(self) -> dict[int, LaneStats]:
        """What each version's lane did since it was asked last."""
        return {road.version.number: road.lane.take_stats() for road in (*self._parting, *self._roads.values())}

    def held(self, seconds: float) -> dict[int, int]:
        """How many requests of each version have been under way for so long; see `Lane.held`. For any thread."""
        return {road.version.number: road.lane.held(seconds) for road in (*self._parting, *self._roads.values())}

    # --- changes

    def change(self) -> Change:
        """Begin a change."""
        return Change(self)

    def missing(self, places: Iterable[Place]) -> list[Place]:
        """Those that have to be loaded."""
        return [place for place in places if place.number not in self._roads]

    def hold(self, champion: int) -> bool:
        """Keep the Bento's own app from being loaded while its place may be taken; false where nothing was held.

        Raises `StartFailed` where it is loaded: a process loads one Bento and no other.
        """
        if self._mount is None or champion == self.champion:
            return False
        if not self._mount.hold():
            raise StartFailed("the Bento's own app has been loaded here", why="a process loads one Bento and no other")
        return True

    def release(self) -> None:
        """Undo `hold`."""
        assert self._mount is not None
        self._mount.release()

    def revive(self, number: int) -> Road | None:
        """A version that is parting, if it is: it need not go."""
        road = next((road for road in self._parting if road.version.number == number), None)
        if road is not None:
            self._parting.remove(road)
        return road

    def load(self, places: Sequence[Place], *, beside_traffic: bool = False) -> dict[int, Road]:
        """Load versions and check each on its own sample. May be called by any thread.

        Beside traffic only what is all ONNX is loaded: Python code that is new could end the process, or hold it up.
        """
        roads: dict[int, Road] = {}
        for place in places:
            file = Path(place.folder) / "version.json"
            if beside_traffic and brings_code(decode(Version, file.read_bytes(), source=str(file))):
                raise StartFailed(f"v{place.number} runs Python code", why="it is tried in a process of its own first")
            served = ServedModel.load(Path(place.folder), threads=self._threads)
            served.self_check()
            roads[place.number] = Road(
                served,
                repository=self._repository,
                exposition=self._exposition,
                requests=self._requests,
                aliases=self._aliases,
            )
        return roads

    def commit(self, order: Commit, prepared: dict[int, Road], places: dict[int, Place]) -> None:
        """Let `order` be what is served. Raises `StartFailed` where a version is not here; then nothing changes."""
        found = self._roads | prepared
        needed = {order.champion, *order.traffic.versions}
        if not needed <= found.keys():
            absent = ", ".join(f"v{number}" for number in sorted(needed - found.keys()))
            raise StartFailed(f"{absent} is not loaded here", fix="prepare it first")
        assert self._front is not None
        before = self._front.lineup
        same_champion = order.champion == self.champion
        self._parting += [road for number, road in found.items() if number not in needed]
        self._roads = {number: road for number, road in found.items() if number in needed}
        self._places |= places
        self.left_out = {}
        self._traffic = order.traffic
        if self._mount is not None and not same_champion:
            self._mount.release(self._bento(order.champion))
        lineup = self._lineup(order.champion, order.traffic)
        self._front.lineup = lineup
        if isinstance(before.shadow, Comparing) and before.shadow is not lineup.shadow:
            before.shadow.close()
        until = time.monotonic() + REQUEST_TIMEOUT_S + self._front.timeout_s + _LATE_S
        self._before.append((weakref.ref(before), until))
        log.info("version %d serves, with %s", order.champion, _words(order.traffic))

    def give_back(self, prepared: dict[int, Road]) -> None:
        """Let go of what was prepared and not committed."""
        self._parting += prepared.values()

    def tick(self) -> None:
        """Write down what the shadow found, and close what nobody needs any more; called about once a second."""
        lineup = self.lineup
        if isinstance(lineup.shadow, Comparing):
            lineup.shadow.tick()
        now = time.monotonic()
        # No request lives longer than the limits allow, whatever may still hold its lineup.
        self._before = [(older, until) for older, until in self._before if older() is not None and now < until]
        needed = {id(road) for older, _ in self._before if (held := older()) for road in held.loaded.values()}
        done = [road for road in self._parting if id(road) not in needed]
        self._parting = [road for road in self._parting if id(road) in needed]
        for road in done:
            self._close(road)

    def close(self) -> None:
        """End the shadow, and what is parting; what serves is closed by its app."""
        if self._front is not None and isinstance(self.lineup.shadow, Comparing):
            self.lineup.shadow.close()
        for road in self._parting:
            self._close(road)

    def _lineup(self, champion: int, traffic: Traffic) -> Lineup:
        roads = self._roads
        share(roads[champion].served)
        if self._mount is None and self._bento(champion) is not None:
            self._mount = LazyBento(self._bento(champion) or Path())
        return Lineup(
            champion=roads[champion],
            canary=roads.get(traffic.canary),
            share=traffic.share,
            shadow=self._shadow(roads[champion], roads.get(traffic.shadow)),
            loaded=dict(roads),
            mounted=self._mount if self._bento(champion) is not None else None,
        )

    def _shadow(self, champion: Road, challenger: Road | None) -> Comparing | None:
        """What compares the two; the one that does already, so that a change of the canary costs it nothing."""
        if challenger is None:
            return None
        now = self._front.lineup.shadow if self._front is not None else None
        if isinstance(now, Comparing) and now.champion is champion and now.challenger is challenger:
            return now
        return Comparing(champion, challenger, compare=self._compare, worker=self._worker)

    def _bento(self, number: int) -> Path | None:
        path = self._places[number].bento_path
        return Path(path) if path else None

    def _close(self, road: Road) -> None:
        log.info("version %d is let go of", road.version.number)
        road.close()
        road.served.close()  # what is left of it goes in circles, and lies there until the collector comes by


class Change:
    """One change, in two steps. Ended before its commit, it leaves nothing."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._prepared: dict[int, Road] = {}
        self._places: dict[int, Place] = {}
        self._holds = False
        self._ended = False
        self._disturbance: Disturbance | None = None

    async def obey(self, order: bytes) -> dict[str, Any]:
        """Do what an order says: {"done": what serves now}, or {"error": …} and nothing has changed."""
        try:
            given: Order = msgspec.json.decode(order, type=Order)
            if isinstance(given, Prepare):
                await self._prepare(given)
            elif isinstance(given, Disturb):
                self._disturb(given)
            else:
                self._commit(given)
        except Exception as error:  # loading runs the model's own library and the person's code
            log.warning("an order could not be obeyed: %s", error, exc_info=not isinstance(error, AutodeployError))
            return {"error": _explained(0, error).to_payload()}
        return {"done": self._versions.describe()}

    def end(self) -> None:
        """Drop what was prepared, and end what disturbs."""
        self._ended = True
        self._drop()
        if self._disturbance is not None:
            self._disturbance.end()

    async def _prepare(self, order: Prepare) -> None:
        self._drop()
        self._holds = self._versions.hold(order.champion)
        self._places = {place.number: place for place in order.versions}
        missing = []
        for place in self._versions.missing(order.versions):
            road = self._versions.revive(place.number)
            if road is None:
                missing.append(place)
            else:
                self._prepared[place.number] = road
        loading = asyncio.ensure_future(asyncio.to_thread(self._versions.load, missing, beside_traffic=True))
        try:
            roads = await asyncio.shield(loading)
        except asyncio.CancelledError:  # nobody wants it any more; the thread goes on to its end
            loading.add_done_callback(self._drop_late)
            raise
        except Exception:
            self._drop()
            raise
        self._prepared |= roads
        if self._ended:
            self._drop()

    def _disturb(self, order: Disturb) -> None:
        if self._disturbance is not None:
            self._disturbance.end()
        self._disturbance = Disturbance(order, self._versions.lineup.champion.served)

    def _commit(self, order: Commit) -> None:
        self._versions.commit(order, self._prepared, self._places)
        self._prepared, self._holds = {}, False

    def _drop(self) -> None:
        self._versions.give_back(self._prepared)
        self._prepared = {}
        if self._holds:
            self._versions.release()
            self._holds = False

    def _drop_late(self, loading: asyncio.Future[dict[int, Road]]) -> None:
        if not loading.cancelled() and loading.exception() is None:
            self._versions.give_back(loading.result())


def _explained(number: int, error: Exception) -> AutodeployError:
    if isinstance(error, AutodeployError):
        return error
    what = f"v{number} could not be loaded" if number else "the order could not be obeyed"
    return StartFailed(what, why=f"{type(error).__name__}: {error}")


def _words(traffic: Traffic) -> str:
    parts = [f"canary v{traffic.canary} ({traffic.share:.2%})"] if traffic.canary else []
    parts += [f"shadow v{traffic.shadow}"] if traffic.shadow else []
    parts += [f"loaded {', '.join(f'v{number}' for number in traffic.loaded)}"] if traffic.loaded else []
    return ", ".join(parts) or "nothing beside it"
