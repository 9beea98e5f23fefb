"""The other format: what is served as ONNX as the live object, and the other way round.

A build keeps the format that is fastest over one row and a batch of 256. Traffic may be of one kind alone, on which the
other wins: a boosted model of 200 trees answers one row 11 times as fast as ONNX, and a batch in more than twice the
time. So it is offered, and measured at the recorded mix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.formats import format_of
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Offer, Optimiser, Rebuilt
from autodeploy_magic.registry import load, table
from autodeploy_magic.retuning import Family

if TYPE_CHECKING:
    from autodeploy_magic.contracts import Candidate
    from autodeploy_magic.operate.retune.champion import Champion

__all__ = ["OtherFormat"]

HOPELESS = 2.0
"""One that the build measured to take so many times as long, at one row and at a batch alike, wins on no traffic."""


class OtherFormat(Optimiser):
    """Offers "onnx" to what is served as the live object, and "native" to what is served as ONNX."""

    name: ClassVar[str] = "format"
    family: ClassVar[Family] = "run"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        version = champion.version
        if not champion.has_live:
            raise NotApplicable("its live object is not kept: there is nothing to write another format from")
        if not champion.exact:
            raise NotApplicable("its live object is that of an earlier version, which answers otherwise")
        served = format_of(version.format)
        wanted = "onnx" if served.live else "native"
        if wanted == "onnx" and "predict" in champion.code:
            raise NotApplicable("its own predict(model, x) needs the live object, which ONNX is not")
        exporter = load(table("exporters")[champion.framework])
        has = [name for name in exporter.formats if format_of(name).live is (wanted == "native")]
        if not has:
            title = "ONNX" if wanted == "onnx" else "live"
            raise NotApplicable(f"models of {champion.framework} have no {title} format")
        known = [one for one in version.candidates if one.format in has]
        passed = [one for one in known if one.passed]
        if known and not passed:
            raise NotApplicable(f"as {format_of(known[0].format).title} it was tried: {known[0].reason}")
        now = next((one for one in version.candidates if one.format == version.format and one.passed), None)
        if passed and now is not None and all(_hopeless(one, now) for one in passed):
            raise NotApplicable(
                f"as {format_of(passed[0].format).title} it takes more than {HOPELESS:g} times as long, by one row"
                " and by a batch"
            )
        return [Offer(f"as {wanted if wanted == 'native' else 'ONNX'}", {"format": wanted})]

    def make(self, champion: Champion, given: Given) -> Made:
        wanted = str(given.settings["format"])
        title = format_of(champion.version.format).title
        return Rebuilt(champion.live(), format=wanted, note=f"the same model, in place of {title}")


def _hopeless(other: Candidate, now: Candidate) -> bool:
    pairs = [(other.one_row_s, now.one_row_s), (other.batch_s, now.batch_s)]
    return all(theirs is not None and ours is not None and theirs > HOPELESS * ours for theirs, ours in pairs)
