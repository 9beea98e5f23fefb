"""What the handlers of one Jupyter Server share. Nothing is opened before it is asked for."""

from __future__ import annotations

from functools import cached_property

from autodeploy_magic.server_extension.feed import Feed
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import Supervisor

__all__ = ["Backend"]


class Backend:
    """The state folder, its supervisor, and the one stream from it.

    `looking` starts no supervisor, `acting` does: a person who changes a deployment wants it changed.
    """

    SETTING = "autodeploy_magic"
    """Where the web application's settings hold it."""

    @cached_property
    def store(self) -> Store:
        return Store()

    @cached_property
    def looking(self) -> Supervisor:
        return Supervisor(self.store, start=False)

    @cached_property
    def acting(self) -> Supervisor:
        return Supervisor(self.store)

    @cached_property
    def feed(self) -> Feed:
        return Feed(lambda: self.looking.live())  # noqa: PLW0108  # the thread opens the store, and not the loop
