"""How many replicas an application has, from what its deployment promises and how long one answer takes.

Ray Serve adds replicas where more requests are under way, for each replica, than `target_ongoing_requests`. A replica
answers one after the other: with n under way, the last waits for n answers. So that it is still within the latency L
that the SLO promises, n * t <= L for answers that take t; half of it is the target, since requests come in bursts and a
new replica takes some seconds. What the replica refuses to hold, `max_ongoing_requests`, waits in the proxy.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from autodeploy_magic import slo
from autodeploy_magic.contracts import Version
from autodeploy_magic.errors import InvalidOption

__all__ = ["Scale", "scale"]

RAY_S = 0.003
"""What Ray's proxy and its way to a replica take of each answer, on a core of its own."""
SHARE = 0.5
LEAST, MOST = 1.0, 64.0
WITHOUT = 2.0
"""Ray's own target, for a deployment that promises no latency."""
UP_S, DOWN_S = 10.0, 120.0
"""Added after so many seconds of too many requests, taken away after so many of too few."""


class Scale(NamedTuple):
    """How an application is to scale. `why` says where its numbers come from; `by_default` that no SLO gave them."""

    least: int
    most: int
    target: float
    held: int
    why: str
    by_default: bool = False

    def config(self) -> dict[str, Any]:
        """As Ray Serve is told it."""
        held = {"max_ongoing_requests": self.held}
        if self.least == self.most:
            return {"num_replicas": self.least, **held}
        return {
            "autoscaling_config": {
                "min_replicas": self.least,
                "initial_replicas": self.least,
                "max_replicas": self.most,
                "target_ongoing_requests": self.target,
                "upscale_delay_s": UP_S,
                "downscale_delay_s": DOWN_S,
            },
            **held,
        }


def scale(version: Version, line: str, least: int, most: int) -> Scale:
    """The scale of a version that promises the SLO `line`, with `least` to `most` replicas. Raises `InvalidOption`."""
    if not 1 <= least <= 1000:
        raise InvalidOption(f"replicas is {least}", why="there is one at least", fix="use 2 or more")
    if most < least:
        raise InvalidOption(
            f"max_replicas is {most}, and replicas {least}", fix=f"use {least} or more, or 0 for four times as many"
        )
    candidate = next((one for one in version.candidates if one.format == version.format), None)
    one_s = candidate.one_row_s if candidate is not None else None
    limits = [one.limit for one in slo.parse(line).objectives if slo.METRICS[one.metric].kind == "latency"]
    if not limits:
        return Scale(least, most, WITHOUT, 100, "the SLO promises no latency: Ray's own target", by_default=True)
    takes = (one_s or 0.0) + RAY_S
    fits = min(limits) / takes
    target = round(min(max(SHARE * fits, LEAST), MOST), 1)
    held = round(min(max(fits, 2 * LEAST), 2 * MOST))
    why = f"{fits:.3g} answers of {takes * 1e3:.3g} ms fit into {min(limits) * 1e3:.3g} ms; half of them is the target"
    return Scale(least, most, target, held, why)
