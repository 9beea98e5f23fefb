"""What a target of `ship` is, and what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec

from autodeploy_magic.contracts import Desired, Report, Version
from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.settings import KNOBS
from autodeploy_magic.shipping import Image, ImageUse

__all__ = ["Cargo", "Choice", "Target", "Written"]


@dataclass(frozen=True)
class Choice:
    """An option of a target: `--set NAME=VALUE`. `choices` are the only values, where there are any.

    The type of `default` is that of the value: a number is checked to be one, and a text is checked by the target.
    """

    name: str
    help: str
    default: str | int | float | bool = ""
    choices: tuple[str, ...] = ()

    @property
    def required(self) -> bool:
        """Whether it has to be given: its default is none of the values that it may have."""
        return bool(self.choices) and self.default not in self.choices


@dataclass(frozen=True)
class Cargo:
    """What is shipped: a version of a deployment, and what is known of it. Paths are absolute.

    `model` is the folder that a worker loads (version.json, the model, sample.json and expected.json of the few rows
    of the self-check), `record` the one with all rows that verified it (sample.json, expected.json, answers.json).
    `desired` tells how it is served here: workers, SLO, settings. `image` is the image of this version that was built
    last, None where there is none; `reference` is what a file names as the image, "" where neither was built nor given.
    `options` are the target's `Choice`s, each with its value.
    """

    version: Version
    desired: Desired
    model: Path
    record: Path
    image: Image | None = None
    reference: str = ""
    options: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.version.deployment

    def text(self, name: str) -> str:
        """An option that is a text."""
        return str(self.options[name])

    def number(self, name: str) -> int:
        """An option that is a whole number."""
        return int(self.options[name])

    def setting(self, name: str) -> bool | float | int | str:
        """A knob as the deployment has it."""
        return self.desired.settings.get(name, KNOBS[name].default)

    def example(self, rows: int = 2) -> Any:
        """The first rows of the version's sample, as a request gives them."""
        inputs = msgspec.json.decode((self.model / "sample.json").read_bytes())["inputs"]
        if isinstance(inputs, dict):
            return {key: value[:rows] if isinstance(value, list) else value for key, value in inputs.items()}
        return inputs[:rows] if isinstance(inputs, list) else inputs

    def expected(self, rows: int = 2) -> Any:
        """What the version answers to `example`; all of it, where the answers are not one a row."""
        answers = msgspec.json.decode((self.model / "expected.json").read_bytes())["predictions"]
        per_row = all(output.per_row for output in self.version.outputs if output.name == "predictions")
        return answers[:rows] if per_row and isinstance(answers, list) else answers

    def need_image(self, target: str) -> str:
        """The image to name. Raises `ShipFailed` where there is none yet."""
        if not self.reference:
            raise ShipFailed(
                f"{target} needs an image of v{self.version.number} of {self.name}, and none was built",
                fix=f"`%deploy containerize {self.name}` builds one; or --image names one that is in a registry",
            )
        return self.reference


@dataclass(frozen=True)
class Written:
    """What a target says when its files are there: what is good to know, and the commands that come next."""

    notes: tuple[str, ...] = ()
    next: tuple[str, ...] = ()
    url: str = ""


class Target(Protocol):
    """A place elsewhere. Its class's docstring begins with one sentence that says what it writes."""

    choices: tuple[Choice, ...]

    image: ImageUse = "named"
    """What it does with an image. May be left out, as may the next one."""
    at_once: bool = False
    """Whether it serves there at once, so that a folder is no more than a record of that."""

    def refuse(self, cargo: Cargo) -> None:
        """Raise `ShipFailed` or `InvalidOption`, with what to do, for what it cannot take. Before any work."""

    def write(self, cargo: Cargo, folder: Path, report: Report) -> Written:
        """Write its files into `folder`, which is empty, and nothing else. Raises `ShipFailed`.

        The folder is not yet where the person wants it: it is moved there when all is written.
        """
