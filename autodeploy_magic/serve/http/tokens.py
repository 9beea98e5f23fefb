"""The tokens of a deployment as its state folder has them, kept up while a worker runs."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from autodeploy_magic.disk import Stamp, stamp
from autodeploy_magic.errors import AutodeployError, StartFailed
from autodeploy_magic.serve.http.guard import Guard
from autodeploy_magic.store import old_tokens_file, read_tokens

__all__ = ["Tokens"]

log = logging.getLogger(__name__)


class Tokens:
    """Reads the token's file again when it has changed. Call `tick` every second; a guard calls `unknown`.

    Nobody needs to tell a worker of a rotation: a new token is good at the first request that brings it, an old one is
    refused within about a second of its end.

    Raises `StartFailed` or `UnreadableRecord` where there is nothing to begin with: no deployment is open to everybody
    because a file is gone.
    """

    def __init__(self, file: Path) -> None:
        self._files = (file, old_tokens_file(file))
        self._guard: Guard | None = None
        self._stamp = self._stamps()
        try:
            self._known = read_tokens(file)
        except (OSError, UnicodeDecodeError) as error:
            raise _unreadable(file, str(error)) from error
        if not self._known:
            raise _unreadable(file, "it is empty")

    @property
    def good(self) -> list[str]:
        """The tokens that are good now, the newest first."""
        now = time.time()
        return [token for token, until in self._known.items() if until > now]

    def keep(self, guard: Guard) -> None:
        """Keep `guard` up to date from now on."""
        guard.tokens = self.good
        guard.unknown = self.unknown
        self._guard = guard

    def tick(self) -> None:
        """Learn of new tokens, and forget those that have ended."""
        if self._stamps() != self._stamp:
            self._read()
        good = self.good
        if self._guard is not None and good and tuple(good) != self._guard.tokens:
            log.info("%d token%s good from now on", len(good), " is" if len(good) == 1 else "s are")
            self._guard.tokens = good

    def unknown(self) -> None:
        """A request came with a token that is not known: perhaps a new one.

        A flood of them costs two `stat` calls each; the files are read where they have changed, and only then.
        """
        self.tick()

    def _read(self) -> None:
        """Read both files. Where that cannot be done, as while the deployment is removed, what was known stays."""
        self._stamp = self._stamps()
        try:
            self._known = read_tokens(self._files[0]) or self._known
        except (OSError, UnicodeDecodeError, AutodeployError) as error:
            log.warning("the tokens cannot be read: %s", error)

    def _stamps(self) -> tuple[Stamp | None, ...]:
        return tuple(stamp(file) for file in self._files)


def _unreadable(file: Path, why: str) -> StartFailed:
    return StartFailed(
        f"the token in {file} cannot be read",
        why=why,
        fix="restart the deployment: a token that is missing is made anew",
    )
