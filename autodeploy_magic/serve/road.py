"""One loaded version with everything that speaks for it: its protocols, their routes, and the lane its rows run in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from autodeploy_magic.metrics import Totals
from autodeploy_magic.registry import load, table
from autodeploy_magic.reservoir.labels import AddLabels
from autodeploy_magic.serve.exposition import Exposition
from autodeploy_magic.serve.lane.lane import Lane
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.serve.protocols import ClientProtocol, Inference, Route

__all__ = ["Lineup", "Listed", "Mounted", "Repository", "Road", "Routes", "Shadow"]

Routes = Mapping[str, tuple[Route, ClientProtocol]]
"""Method → the route and the protocol that it belongs to."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A version that is kept, and whether this worker answers for it. `reason` says why not, where there is one."""

    number: int
    ready: bool
    reason: str = ""


class Repository(Protocol):
    """The versions kept of a deployment, and who can load them; what a worker has of its supervisor."""

    async def index(self) -> list[Listed]:
        """All versions kept, oldest first."""

    async def load(self, numbers: Sequence[int]) -> None:
        """Have every worker answer for these versions besides the champion, and for no others.

        Raises `NotFound` for a version that is not kept, `InvalidInputs` for too many, `Unavailable` where nobody can.
        """

    async def statistics(self) -> Mapping[int, Totals]:
        """What each version answered since it was first served, by its number, over all workers: `metrics.totals`."""


class Road:
    """A version that requests can be sent down. `routes` are by path, or by the pattern that a path has to match.

    `repository` tells of the others; None where this worker knows of one version alone. `exposition` makes the
    deployment's metrics a page; where it is left out, the page tells of this version, and that nothing is recorded.
    `draining` says that the worker is on its way out: the version answers, and is not ready for more. `requests` is the
    file that takes labels, or what brings them to one elsewhere; None where there is neither. `aliases` are further
    paths, each with the path that it stands for; one that a protocol has too means what it says here.
    """

    def __init__(
        self,
        served: ServedModel,
        *,
        repository: Repository | None = None,
        exposition: Exposition | None = None,
        requests: Path | AddLabels | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self.repository = repository
        self.requests = requests
        self.exposition = exposition or Exposition(served.version.deployment, lambda: [served.version])
        self.served = served
        self.version = served.version
        self.lane = Lane(served)
        self.draining = False
        self.protocols: list[ClientProtocol] = [load(reference)(self) for reference in table("protocols").values()]
        self.routes: dict[str, dict[str, tuple[Route, ClientProtocol]]] = {}
        for protocol in self.protocols:
            for route in protocol.routes():
                self.routes.setdefault(route.path, {})[route.method] = (route, protocol)
        self._patterns = [(re.compile(path), path) for path in self.routes if "(" in path]
        self._aliases: dict[str, tuple[str, Sequence[str | None]]] = {}
        self._aliases = {path: found for path, ours in (aliases or {}).items() if (found := self.find(ours))}

    def find(self, path: str) -> tuple[str, Sequence[str | None]] | None:
        """The key in `routes` that answers at `path`, and what its pattern captured; None where nothing does."""
        if path in self._aliases:
            return self._aliases[path]
        if path in self.routes:
            return path, ()
        for pattern, key in self._patterns:
            match = pattern.fullmatch(path)
            if match:
                return key, match.groups()
        return None

    def close(self) -> None:
        """End its lane. What waits there is refused."""
        self.lane.close()


class Shadow(Protocol):
    """Is given copies of requests with what the champion answered; never in the way of the answer."""

    def offer(
        self,
        read: Callable[[Road], Inference],
        inference: Inference,
        outputs: dict[str, Any],
        seconds: float,
        size: int,
    ) -> None:
        """`read` reads the request for another version, `seconds` is what the champion took, `size` its bytes."""


class Mounted(Protocol):
    """The Bento's own ASGI app, and the end of its lifespan."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    async def shutdown(self) -> None: ...


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Lineup:
    """The versions of a worker and what each is given. Replaced as a whole: one assignment is a swap.

    One that was replaced lives as long as a request that began under it: its versions are closed after that.

    `canary` answers `share` of the requests that name no version (0 to 1); `shadow` is given copies; `loaded` holds
    every road by its version's number, the champion among them. `mounted` answers what no protocol knows.
    """

    champion: Road
    canary: Road | None = None
    share: float = 0.0
    shadow: Shadow | None = None
    loaded: Mapping[int, Road] = field(default_factory=dict)
    mounted: Mounted | None = None
