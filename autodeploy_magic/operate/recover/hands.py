"""What recovery may do to a deployment. The supervisor implements it; tests bring their own."""

from __future__ import annotations

from typing import NamedTuple, Protocol

__all__ = ["Hands", "Room"]


class Room(NamedTuple):
    """What the machine has free: cores without work (of all of them `cores`), and memory."""

    cores: int
    cores_free: float
    memory_free_bytes: int


class Hands(Protocol):
    """Each raises an `AutodeployError` where it cannot be done; then nothing has changed."""

    async def end_worker(self, name: str, pid: int) -> None:
        """Kill one worker (SIGKILL); its replacement is there when this returns. What it held is lost."""

    async def restart(self, name: str) -> None:
        """Replace all workers by fresh ones; no request is lost."""

    async def roll_back(self, name: str, version: int) -> None:
        """Make `version` the champion again."""

    async def run(self, name: str, workers: int | None, settings: dict[str, float]) -> None:
        """Serve with so many workers, and with these settings (`moves.TUNABLE`); what is left out stays."""

    async def end_trial(self, name: str) -> None:
        """Give the champion all requests: the canary's and the shadow's trial ends."""

    async def trim(self, name: str) -> int:
        """Remove versions that nothing uses, but for the one to go back to, and old records; returns bytes freed."""

    async def retune(self, name: str, trigger: str) -> str:
        """Begin a re-tune, and return its id at once."""

    def previous(self, name: str) -> int | None:
        """The version that was served before and could be again; None for none."""

    def room(self) -> Room: ...
