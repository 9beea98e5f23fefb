"""Parts of the watch that failed: isolated, told once a minute, and shown until they work again."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator

__all__ = ["Faults"]

log = logging.getLogger(__name__)

TOLD_EVERY_S = 60.0


class Faults:
    """What went wrong, by part. Of one deployment, or of what all have in common."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._now: dict[str, str] = {}
        self._told: dict[str, float] = {}

    @property
    def now(self) -> dict[str, str]:
        """What failed when it was tried last."""
        return dict(self._now)

    @contextlib.contextmanager
    def isolated(self, part: str) -> Iterator[None]:
        """Whatever the body raises is that part's fault, and nobody else's trouble."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - that is what this is for: it is shown and logged
            self.note(part, error)
        else:
            self._now.pop(part, None)

    def note(self, part: str, error: Exception) -> None:
        """A part failed."""
        self._now[part] = f"{type(error).__name__}: {error}"
        now = time.monotonic()
        if now - self._told.get(part, float("-inf")) >= TOLD_EVERY_S:
            self._told[part] = now
            log.error("%s: %s failed", self._name, part, exc_info=error)
