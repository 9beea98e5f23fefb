"""A version, loaded: decode → preprocess → run → postprocess → encode."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec
from msgspec.structs import replace

from autodeploy_magic import settings
from autodeploy_magic.contracts import Artifact, Signature, Version, decode
from autodeploy_magic.errors import (
    ArtifactChanged,
    AutodeployError,
    InvalidInputs,
    ModelFailed,
    RequestRefused,
    StartFailed,
    TimedOut,
)
from autodeploy_magic.formats import format_of
from autodeploy_magic.registry import load, table
from autodeploy_magic.serve.lane.turns import Turns
from autodeploy_magic.serve.modules import importable
from autodeploy_magic.serve.owner import log_of
from autodeploy_magic.serve.runtime.live import LiveRunner
from autodeploy_magic.serve.runtime.native import unpickle
from autodeploy_magic.serve.signature import SIGNATURE, check_signature
from autodeploy_magic.store import file_sha256
from autodeploy_magic.wire import Batch, to_container, to_plain
from autodeploy_magic.wire import decode as decode_inputs
from autodeploy_magic.wire.fields import short
from autodeploy_magic.wire.quick import MOST_ROWS, QuickReader
from autodeploy_magic.wire.streams import close, is_stream, postprocessed, taken

__all__ = ["Runner", "ServedModel", "head"]

log = logging.getLogger(__name__)

MOST_ITEMS = 100_000
"""Of a streamed answer that is collected into one."""


class Runner(Protocol):
    """What runs one format. `needs_container` says that it takes the sample's container, not a `Batch`.

    One that has `together`, and that true, gives any of its outputs with a run for one of them.
    """

    needs_container: bool

    def run(self, x: Any, names: Sequence[str]) -> dict[str, Any]: ...


class ServedModel:
    """The one road from a request's inputs to its answers, whichever protocol they came by.

    Safe to call from several threads where the model is.
    """

    def __init__(self, version: Version, runner: Runner, code: dict[str, Callable[..., Any]], folder: Path) -> None:
        self.version = version
        self.folder = folder
        self._runner = runner
        self._preprocess = code.get("preprocess")
        self._predict = code.get("predict")
        self._postprocess = code.get("postprocess")
        self._names = tuple(output.name for output in version.outputs)
        self._is_plain = not self.has_code and not runner.needs_container
        together = getattr(runner, "together", False) and not (self._predict or self._postprocess)
        self.at_hand: tuple[str, ...] = tuple({"probabilities"} & {*self._names}) if together else ()
        """Outputs that a run for the predictions computes anyway."""
        self._quick = QuickReader(version.signature)
        self.max_rows = int(settings.get("max_rows"))
        self.streams = any(output.streams for output in version.outputs)
        self._turns = Turns()

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        format: str | None = None,
        provider: str | None = None,
        threads: int | None = None,
        sealed: bool = True,
    ) -> ServedModel:
        """Load the version in `folder`, its files checked against their hashes first, and its record's signature.

        `format` picks another model artifact than the one the version serves, `provider` the execution provider that
        must run an ONNX one: no other stands in. `threads` is how many one run of the model may use; None is one for
        ONNX, and for the live object what its libraries take. `sealed` false is for one that is still being made: it
        holds more than is listed, and is not signed. Raises `ArtifactChanged`, `StartFailed` where `verify_key` wants
        another signature than it has, or whatever the model's own library raises.
        """
        file = folder / "version.json"
        record = file.read_bytes()
        if sealed:
            check_signature(folder, record)
        version = decode(Version, record, source=str(file))
        if sealed:
            check_nothing_else(folder, version)
        if provider is not None:
            version = replace(version, provider=provider)
        chosen = format or version.format
        wanted = [item for item in version.artifacts if item.role != "model" or item.format == chosen]
        for artifact in wanted:
            check(folder, artifact)
        if any(item.role == "module" for item in wanted):
            importable(folder / "modules")  # the person's own, which the code and a native model import
        if not any(item.role == "model" for item in wanted):
            raise StartFailed(f"version {version.number} of {version.deployment} holds no {chosen} model")
        code: dict[str, Callable[..., Any]] = {}
        for artifact in wanted:
            if artifact.role == "code":
                code = unpickle(folder / artifact.path)
        kept = format_of(chosen)
        runner_type = load(table("runtimes")[kept.runtime])
        runner = cast(Runner, runner_type(folder / kept.place, version, threads=threads))
        if provider and runner.stand_in:  # type: ignore[attr-defined]  # of the one runner that has providers
            raise StartFailed("not run by it", why=runner.stand_in)  # type: ignore[attr-defined]
        return cls(version, runner, code, folder)

    @property
    def has_code(self) -> bool:
        """Whether the person's own code stands around the model, which may look at all rows of a request at once."""
        return bool(self._preprocess or self._predict or self._postprocess)

    def close(self) -> None:
        """Let go of the model: its memory is free, whatever still holds this version. It answers no more."""
        del self._runner

    @property
    def accepts(self) -> Signature:
        """The signature that requests are held to: no number larger than the model's own precision holds."""
        signature, precision = self.version.signature, getattr(self._runner, "precision", "float64")
        if not self._is_plain or precision == "float64":
            return signature
        columns = tuple(replace(c, dtype=precision) if c.dtype == "float64" else c for c in signature.columns)
        return replace(signature, columns=columns)

    def decode(self, inputs: Any) -> Batch:
        """Check the inputs of a request; raises `InvalidInputs` or `BodyTooLarge`."""
        if self.max_rows >= MOST_ROWS:
            batch = self._quick.read(inputs)
            if batch is not None:
                return batch
        return decode_inputs(self.version.signature, inputs, max_rows=self.max_rows)

    def run(self, batch: Batch, names: Sequence[str]) -> dict[str, Any]:
        """Answer decoded rows with the live object's values. Raises `ModelFailed` where the model raises."""
        if self.streams:
            return self._collected(batch, names)
        try:
            return self._runner.run(batch, names) if self._is_plain else self._answer(batch, names)
        except RequestRefused:
            raise
        except (Exception, SystemExit) as error:  # the person's own code may raise anything; its words stay in the log
            raise self._failed(error) from error

    def stream(self, batch: Batch) -> Iterator[Any]:
        """The predictions for decoded rows, item by item as the model gives them. Raises `ModelFailed` at any of them.

        Of several under way in threads of their own, one at a time is at work on its next item.
        """
        items: Iterator[Any] | None = None
        try:
            with self._turns:
                answer = self._answer(batch, ("predictions",))["predictions"]
                items = answer if is_stream(answer) else iter(answer if isinstance(answer, list) else [answer])
            while True:
                with self._turns:
                    try:
                        item = next(items)
                    except StopIteration:
                        return
                yield item
        except RequestRefused:
            raise
        except (Exception, SystemExit) as error:
            raise self._failed(error) from error
        finally:
            if items is not None:
                self._close(items)

    def replay(self, inputs: Any, names: Sequence[str]) -> dict[str, Any]:
        """Answer rows of the version's own sample, which no limit of requests holds for."""
        return self.encode(self.run(decode_inputs(self.version.signature, inputs), names))

    def predict(self, inputs: Any, outputs: Sequence[str] | None = None) -> dict[str, Any]:
        """Answer a request's `inputs` with JSON values, one entry for each of `outputs` (default: the predictions).

        Raises `InvalidInputs`, `BodyTooLarge` or `ModelFailed`.
        """
        names = self.output_names(outputs)
        return self.encode(self.run(self.decode(inputs), names))

    def output_names(self, outputs: Sequence[str] | None) -> Sequence[str]:
        """The outputs a request asks for; raises `InvalidInputs` for one that the model does not have."""
        if outputs is None:
            return ("predictions",)
        for i, name in enumerate(outputs):
            if name not in self._names:
                raise InvalidInputs(
                    f"outputs[{i}] is {short(name)!r}, which this model does not give",
                    fix=f"ask for: {', '.join(self._names)}",
                    field=f"outputs[{i}]",
                )
        return outputs or ("predictions",)

    def encode(self, answers: dict[str, Any]) -> dict[str, Any]:
        """The answers as JSON values; raises `ModelFailed` for what JSON cannot say."""
        try:
            return {name: to_plain(value) for name, value in answers.items()}
        except TypeError as error:
            log.exception("%s version %d answered what JSON cannot say", self.version.deployment, self.version.number)
            raise ModelFailed(
                "the model's answer cannot be written as JSON",
                fix="return it from postprocess as numbers, text, lists or dicts",
            ) from error

    def sample(self, rows: int) -> Any:
        """The first rows of the sample that travels with the version, as a request would send them."""
        found = msgspec.json.decode((self.folder / self._file("sample")).read_bytes())["inputs"]
        return head(found, min(rows, self.max_rows))

    def expected(self, rows: int) -> dict[str, Any]:
        """The answers to the first rows of that sample, by output; only those that have an item for each row."""
        found = msgspec.json.decode((self.folder / self._file("expected")).read_bytes())
        rows = min(rows, self.max_rows)
        return {o.name: found[o.name][:rows] for o in self.version.outputs if o.per_row and o.name in found}

    def self_check(self) -> None:
        """Replay the rows that travel with the version; raises `StartFailed` where an answer is another one."""
        try:
            sample = msgspec.json.decode((self.folder / self._file("sample")).read_bytes())
            expected = msgspec.json.decode((self.folder / self._file("expected")).read_bytes())
            found = self.replay(sample["inputs"], list(expected))
        except AutodeployError as error:
            cause = error.__cause__ or error
            raise StartFailed(
                f"version {self.version.number} of {self.version.deployment} cannot answer its own sample",
                why=f"{type(cause).__name__}: {cause}",
                fix=f"{log_of(self.version.deployment)} shows where; deploy again from the model's notebook",
            ) from error
        where = self.first_difference(expected, found)
        if where is not None:
            raise StartFailed(
                f"version {self.version.number} of {self.version.deployment} answers its sample differently here",
                why=where,
                fix="deploy again from the notebook that holds the model",
            )

    def first_difference(self, expected: dict[str, Any], found: dict[str, Any]) -> str | None:
        """Where answers as JSON values differ by more than rounding: "predictions[3] is …"; None where they agree."""
        for name, values in expected.items():
            where = _first_difference(values, found[name], _tolerance(self.version) * _largest(values))
            if where is not None:
                return f"{name}{where}"
        return None

    def _answer(self, batch: Batch, names: Sequence[str]) -> dict[str, Any]:
        x: Any = batch
        if self._preprocess or self._predict or self._runner.needs_container:
            x = to_container(batch)
        if self._preprocess:
            x = self._preprocess(x)
        if self._predict:
            answers = {"predictions": cast(LiveRunner, self._runner).apply(self._predict, x)}
        else:
            answers = self._runner.run(x, names)
        if self._postprocess and "predictions" in answers:
            answers["predictions"] = postprocessed(self._postprocess, answers["predictions"])
        return answers

    def _collected(self, batch: Batch, names: Sequence[str]) -> dict[str, Any]:
        """The same as one answer. Raises `TimedOut` where a request's time is over and the items are not."""
        within_s = float(settings.get("request_timeout_s"))
        answers: dict[str, Any] = {}
        if "predictions" in names:
            items, whole = taken(stream := self.stream(batch), most=MOST_ITEMS, within_s=within_s)
            close(stream)
            if not whole:
                raise TimedOut(
                    f"the answer had not ended after {len(items)} items",
                    why=f"an answer in one piece has at most {MOST_ITEMS} of them, and takes at most {within_s:g} s",
                    fix="ask for its items as they come: «Accept: text/event-stream»",
                )
            answers["predictions"] = items
        others = [name for name in names if name != "predictions"]
        if others:
            try:
                with self._turns:
                    answers |= self._answer(batch, others)
            except RequestRefused:
                raise
            except (Exception, SystemExit) as error:
                raise self._failed(error) from error
        return {name: answers[name] for name in names}

    def _close(self, items: Iterator[Any]) -> None:
        """Let a generator end where it stands: its `finally` is the person's own code, too."""
        try:
            with self._turns:
                close(items)
        except Exception:
            log.exception("%s version %d failed at the end of a stream", self.version.deployment, self.version.number)

    def _failed(self, error: BaseException) -> ModelFailed:
        """What a client is told of an error, which goes into the log."""
        version = self.version
        log.error("%s version %d failed on a request", version.deployment, version.number, exc_info=error)
        return ModelFailed(
            "the model failed on these inputs",
            why="it raised an error, which is in the deployment's log",
            fix=f"the owner can read it in {log_of(self.version.deployment)}",
        )

    def _file(self, role: str) -> str:
        return next(item.path for item in self.version.artifacts if item.role == role)


def head(inputs: Any, rows: int) -> Any:
    """The first rows of a request's inputs."""
    if isinstance(inputs, dict):
        return {name: values[:rows] for name, values in inputs.items()}
    return inputs[:rows]


def check(folder: Path, artifact: Artifact) -> None:
    """Raise `ArtifactChanged` where a file is gone or no longer has the hash it was saved with."""
    path = folder / artifact.path
    found = file_sha256(path) if path.is_file() else "nothing"
    if found != artifact.sha256:
        raise ArtifactChanged(
            f"{artifact.path} is not the file that was built",
            why=f"its SHA-256 was {artifact.sha256[:12]}… and is {found[:12]}…",
            fix="roll back to another version, or deploy again from the notebook",
        )


def check_nothing_else(folder: Path, version: Version) -> None:
    """Raise `ArtifactChanged` where the folder holds a file that the version's record does not list.

    A library that is given a folder reads what it finds there. What Python compiles of the modules is not looked at.
    """
    listed = {artifact.path for artifact in version.artifacts} | {"version.json", SIGNATURE, "model.yaml"}  # BentoML's
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if name not in listed and not file.is_dir() and not (name.startswith("modules/") and "__pycache__" in name):
            raise ArtifactChanged(
                f"{name} is in the version's folder and was not built",
                why="somebody put it there afterwards, and loading the model might read it",
                fix=f"remove {file}, or deploy again from the notebook",
            )


def _tolerance(version: Version) -> float:
    """The self-check runs the same file on perhaps another processor: as strict as the verification, not stricter."""
    return float(settings.get("probability_tolerance" if version.task == "classification" else "value_tolerance"))


def _largest(plain: Any) -> float:
    """The largest absolute number in a JSON value, the scale that its rounding errors have; 1 where there is none."""
    if isinstance(plain, dict):
        plain = list(plain.values())
    if isinstance(plain, list):
        return max((_largest(item) for item in plain), default=1.0)
    return abs(plain) or 1.0 if isinstance(plain, int | float) else 1.0


def _first_difference(expected: Any, found: Any, tolerance: float) -> str | None:
    """Where two JSON values differ, as "[3].label is 'a', expected 'b'"; None where they agree."""
    pairs: list[tuple[str, Any, Any]] = []
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = [(f"[{i}]", a, b) for i, (a, b) in enumerate(zip(expected, found, strict=True))]
    elif isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        pairs = [(f".{key}", a, found[key]) for key, a in expected.items()]
    elif isinstance(expected, int | float) and isinstance(found, int | float):
        return None if abs(expected - found) <= tolerance else f" is {found!r}, expected {expected!r}"
    elif expected != found:
        return f" is {found!r}, expected {expected!r}"
    for key, a, b in pairs:
        where = _first_difference(a, b, tolerance)
        if where is not None:
            return key + where
    return None
