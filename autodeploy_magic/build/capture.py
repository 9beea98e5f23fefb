"""Everything a version is made from, taken from the live kernel: model, answers, code, environment; and its digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.build import environment
from autodeploy_magic.build.code import Pickled, dump, source_text
from autodeploy_magic.build.export import Exporter
from autodeploy_magic.build.live import Answers, live_answers
from autodeploy_magic.build.memory import available_bytes
from autodeploy_magic.build.request import CODE, RETRAIN, BuildRequest, check_labels, exporter_for, formats_of
from autodeploy_magic.build.sample import Sample, read_sample, take
from autodeploy_magic.contracts import Output
from autodeploy_magic.errors import AutodeployError, ExportFailed, ModelTooLarge
from autodeploy_magic.formats import format_of
from autodeploy_magic.store import file_sha256
from autodeploy_magic.wire import describe, in_library, to_request

__all__ = ["MODULES", "Captured", "capture", "files_of", "spread"]

MODULES = "modules"
"""The folder of a version that holds the person's own modules."""


@dataclass(frozen=True)
class Captured:
    """A model taken out of its kernel. `rows` are the verified rows, whose numbers in the sample are `row_numbers`."""

    request: BuildRequest
    exporter: Exporter
    model_type: str
    task: str
    sample: Sample
    rows: Any
    row_numbers: tuple[int, ...]
    inputs: Any
    live: Answers
    outputs: tuple[Output, ...]
    model_outputs: tuple[Output, ...]
    code: Pickled | None
    retrain: Pickled | None
    native: Pickled | None
    native_failure: AutodeployError | None
    local_files: tuple[Path, ...]
    local: environment.Local
    code_modules: frozenset[str]
    formats: tuple[str, ...]
    digest: str

    @property
    def model_modules(self) -> set[str]:
        """Modules that the live object's own formats are made of, before any was replayed."""
        named = self.exporter.modules(self.request.model) | (self.native.modules if self.native else frozenset())
        return set(named) | set(self.exporter.packages)

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines for the version's record: texts among what travels that look like secrets, by name."""
        found = sorted({name for pickled in (self.code, self.native) if pickled for name in pickled.secrets})
        return tuple(
            f"{name} looks like a secret and travels with the model, as it is: read it from os.environ in the function"
            for name in found
        )

    @property
    def fed(self) -> Any:
        """What the model itself is fed: the rows as preprocess leaves them."""
        rows = take(self.rows, range(len(self.row_numbers)))  # preprocess may change what it is given
        rows = in_library(self.sample.signature, rows)
        return self.request.code["preprocess"](rows) if "preprocess" in self.request.code else rows


def capture(request: BuildRequest, folder: Path) -> Captured:
    """Take the model and what it needs into `folder`.

    Raises `BadInput` where the request cannot be met (no model, unfitted, a sample it cannot answer, a format it cannot
    have), `ModelTooLarge`, or `ExportFailed` where the code cannot be pickled.
    """
    exporter = exporter_for(request)
    formats = formats_of(request, exporter)
    sample = _with_known(read_sample(request.sample), request, exporter)
    check_labels(request, sample)
    numbers = spread(sample.rows, int(settings.get("replay_rows")))
    rows = take(sample.container, numbers)
    inputs = to_request(rows)
    live = live_answers(request, exporter, rows, sample)
    raw = _described(exporter, request, live.raw, len(numbers))
    final = _described(exporter, request, live.final, len(numbers), live.streams)
    code = _pickle_code(request, folder)
    retrain = _pickle_retrain(request, folder)
    native, failure = _pickle_model(request, exporter, folder)
    referred = {module for pickled in (code, retrain, native) if pickled for module in pickled.modules}
    referred |= exporter.modules(request.model)
    local = environment.local_modules(referred)
    files = environment.copy_modules(local, folder / MODULES)
    captured = Captured(
        request=request,
        exporter=exporter,
        model_type=exporter.model_type(request.model),
        task=exporter.task(request.model),
        sample=sample,
        rows=rows,
        row_numbers=tuple(numbers),
        inputs=inputs,
        live=live,
        outputs=final,
        model_outputs=raw if "postprocess" in request.code else (),
        code=code,
        retrain=retrain,
        native=native,
        native_failure=failure,
        local_files=tuple(files),
        local=local,
        code_modules=(code.modules if code else frozenset()) | local.imports,
        formats=formats,
        digest="",
    )
    environment.check(captured.code_modules | captured.model_modules)
    return _with_digest(captured, folder)


def _with_known(sample: Sample, request: BuildRequest, exporter: Exporter) -> Sample:
    """The sample with the texts that the model knows; behind code of the person's own it may read others."""
    known = {} if {"preprocess", "predict"} & set(request.code) else exporter.known_values(request.model)
    columns = tuple(
        msgspec.structs.replace(column, known=known[column.name])
        if column.name in known and column.dtype == "str" and column.categories is None
        else column
        for column in sample.signature.columns
    )
    signature = msgspec.structs.replace(sample.signature, columns=columns)
    plain = not {"preprocess", "predict"} & set(request.code)
    return replace(sample, signature=exporter.takes(request.model, signature) if plain else signature)


def spread(rows: int, most: int) -> list[int]:
    """At most `most` row numbers, evenly over the sample, the first and the last among them."""
    if rows <= most:
        return list(range(rows))
    return [round(i * (rows - 1) / max(most - 1, 1)) for i in range(most)]


def _described(
    exporter: Exporter,
    request: BuildRequest,
    answers: dict[str, Any],
    rows: int,
    streams: frozenset[str] = frozenset(),
) -> tuple[Output, ...]:
    methods = {} if "predict" in request.code else exporter.methods(request.model)
    found = [describe(name, value, rows, method=methods.get(name, "")) for name, value in answers.items()]
    return tuple(
        msgspec.structs.replace(output, streams=True, per_row=False) if output.name in streams else output
        for output in found
    )


def _pickle_code(request: BuildRequest, folder: Path) -> Pickled | None:
    functions = {key: request.code[key] for key in CODE if key in request.code}
    if not functions:
        return None
    pickled = dump(functions, folder / "code.pkl", what=f"the code ({', '.join(functions)})")
    (folder / "code.py").write_text(source_text(functions, pickled.by_value), "utf-8")
    return pickled


def _pickle_retrain(request: BuildRequest, folder: Path) -> Pickled | None:
    """The person's `retrain`, which travels with no Bento: it is kept beside the version."""
    if RETRAIN not in request.code:
        return None
    functions = {RETRAIN: request.code[RETRAIN]}
    pickled = dump(functions, folder / "retrain.pkl", what=f"the code ({RETRAIN})")
    (folder / "retrain.py").write_text(source_text(functions, pickled.by_value), "utf-8")
    return pickled


def _pickle_model(
    request: BuildRequest, exporter: Exporter, folder: Path
) -> tuple[Pickled | None, AutodeployError | None]:
    """The live object as it is; where it cannot be pickled the reason, since another format may still hold it."""
    if "native" not in exporter.formats_for(request.model):
        return None, None
    path = folder / format_of("native").place
    try:
        # the clean process holds it a second time
        return dump(request.model, path, what="the model", limit_bytes=available_bytes() // 2), None
    except ExportFailed as error:
        path.unlink()
        return None, error


def _with_digest(captured: Captured, folder: Path) -> Captured:
    """The digest of all that decides a version's answers, known before anything is exported or replayed."""
    request = captured.request
    model = captured.exporter.fingerprint(request.model)
    model = model or (captured.native.sha256 if captured.native else _model_sha256(captured, folder))
    content = {
        "format": request.format,
        "exporter": captured.exporter.name,
        "model": model,
        "code": captured.code.sha256 if captured.code else "",
        **({RETRAIN: captured.retrain.sha256} if captured.retrain else {}),
        "signature": captured.sample.signature,
        "requirements": environment.pins(captured.code_modules | captured.model_modules),
        "python": environment.python_version(),
        "local": [(str(file), file_sha256(folder / MODULES / file)) for file in captured.local_files],
    }
    return replace(captured, digest=hashlib.sha256(msgspec.json.encode(content)).hexdigest())


def _model_sha256(captured: Captured, folder: Path) -> str:
    """The digest of a model without a pickle: of the first format that it can be written in."""
    given = captured.request.model
    if isinstance(given, str | Path) and Path(given).expanduser().stat().st_size * 2 > available_bytes():
        raise ModelTooLarge(
            f"{given} is too large for the memory of this machine",
            why="a clean process must load it a second time to verify it",
            fix="free memory (close other notebooks, `%deploy stop` what is not needed), or shrink the model",
        )
    others = [item for item in captured.exporter.formats_for(captured.request.model) if item != "native"]
    if not others and captured.native_failure is not None:
        raise captured.native_failure
    format = others[0]
    path = folder / format_of(format).place
    captured.exporter.write(captured.request.model, format, path, captured.fed, captured.sample.signature)
    digests = [(file.relative_to(path).as_posix(), file_sha256(file)) for file in files_of(path)]
    return digests[0][1] if path.is_file() else hashlib.sha256(msgspec.json.encode(digests)).hexdigest()


def files_of(path: Path) -> list[Path]:
    """The file itself, or all files below a folder, sorted."""
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
