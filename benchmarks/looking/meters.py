"""What a page costs, as the browser itself tells: CPU time of its main thread, and its heap."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import CDPSession, Page

__all__ = ["Meters"]


class Meters:
    """Reads one page over the browser's own protocol."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._session: CDPSession = page.context.new_cdp_session(page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self._session.send("HeapProfiler.enable")

    def busy_s(self) -> float:
        """Seconds that the page's main thread has worked so far: scripts, styles, layout, painting."""
        return float(self._metrics()["TaskDuration"])

    def heap_bytes(self) -> int:
        """What is alive on the heap, after its garbage was collected."""
        for _ in range(2):  # what a finaliser lets go of is collected in the second round
            self._session.send("HeapProfiler.collectGarbage")
        return int(self._session.send("Runtime.getHeapUsage")["usedSize"])

    def nodes(self) -> int:
        """Elements and texts that are alive, shown or not."""
        return int(self._metrics()["Nodes"])

    def _metrics(self) -> dict[str, Any]:
        found = self._session.send("Performance.getMetrics")["metrics"]
        return {metric["name"]: metric["value"] for metric in found}
