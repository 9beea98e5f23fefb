"""A champion that an optimiser can make better, kept as a version keeps it; and labelled rows beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec
import numpy as np

from autodeploy_magic.build import BuildRequest
from autodeploy_magic.build.capture import capture
from autodeploy_magic.build.sample import read_sample
from autodeploy_magic.build.stage import write_folder
from autodeploy_magic.contracts import Version, decode, encode
from autodeploy_magic.formats import format_of
from autodeploy_magic.operate.retune.base import Given, Holdings, Offer, Optimiser, Rebuilt
from autodeploy_magic.operate.retune.champion import Champion
from autodeploy_magic.operate.retune.rows import Rows
from autodeploy_magic.wire import to_plain, to_request

START_S = 1_780_000_000.0


def champion_of(
    folder: Path, model: Any, sample: Any, format: str = "native", code: Mapping[str, Callable[..., Any]] | None = None
) -> Champion:
    """The champion that `model` is, its live object kept in `format`."""
    folder.mkdir(parents=True, exist_ok=True)
    around = dict(code or {})
    if "retrain" in around:
        (folder / "retrain.pkl").write_bytes(cloudpickle.dumps({"retrain": around.pop("retrain")}))
    fed = around["preprocess"](sample) if "preprocess" in around else sample
    captured = capture(BuildRequest("demo", model, fed), folder)
    if around:
        (folder / "code.pkl").write_bytes(cloudpickle.dumps(around))
    if format != "native":
        path = folder / format_of(format).place
        captured.exporter.write(model, format, path, captured.fed, captured.sample.signature)
    write_folder(captured, 1, [format], folder)
    file = folder / "version.json"
    signature = read_sample(sample).signature
    version = msgspec.structs.replace(decode(Version, file.read_bytes()), live_format=format, signature=signature)
    file.write_bytes(encode(version))
    return Champion.at(folder, folder, version)


def rows_of(champion: Champion, x: Any, labels: Any, *, aged: bool = True) -> Rows:
    """Labelled rows, a second apart; or not `aged`, as a person gives them."""
    at_s = tuple(START_S + i if aged else 0.0 for i in range(len(x)))
    told = to_plain(np.asarray(labels)) if not isinstance(labels, list) else labels
    return Rows(champion.version.signature, to_request(x), len(x), tuple(told), at_s, "the traffic")


def holdings_of(champion: Champion, x: Any, labels: Any, *, aged: bool = True) -> Holdings:
    training = rows_of(champion, x, labels, aged=aged)
    return Holdings(training, Rows(training.signature, training.inputs, training.count), 100, champion.version.task)


def offers_of(optimiser: Optimiser, champion: Champion, holdings: Holdings) -> dict[str, Offer]:
    """Its offers by a word for each: the values of the settings that say how."""
    return {
        " ".join(str(value) for key, value in offer.settings.items() if key not in ("since_s", "half_life_s"))
        + (" since" if offer.settings.get("since_s") else ""): offer
        for offer in optimiser.offers(champion, holdings)
    }


def made_of(
    optimiser: Optimiser, champion: Champion, holdings: Holdings, offer: Offer | None = None, *, within_s: float = 60.0
) -> Rebuilt:
    """What it makes of an offer, by default of its first; the champion's files must be as they were."""
    offer = offer or optimiser.offers(champion, holdings)[0]
    before = contents(champion.folder)
    made = optimiser.make(champion, Given(holdings, offer.settings, champion.folder / "made", 3, within_s, 1))
    assert contents(champion.folder) == before
    assert isinstance(made, Rebuilt)
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
