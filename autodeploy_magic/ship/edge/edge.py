"""The target `edge`: what is asked for, refused, written and checked, in order."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from autodeploy_magic.build.compare import compare
from autodeploy_magic.contracts import Report, Version
from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.base import Cargo, Choice, Written
from autodeploy_magic.ship.edge import predict
from autodeploy_magic.ship.edge.around import source_around
from autodeploy_magic.ship.edge.describe import signature_of
from autodeploy_magic.ship.edge.fits import check_fits, check_fits_browser, model_file
from autodeploy_magic.ship.edge.graph import fixed_rows, write_operators, write_ort
from autodeploy_magic.ship.edge.texts import readme, write_licenses, write_requirements
from autodeploy_magic.ship.edge.web import check_runtime, write_page
from autodeploy_magic.ship.edge.wheel import names_of, write_wheel, write_zip

__all__ = ["Edge"]

_PACKAGED = ("predict.py", "signature.json", "sample.json", "model.ort", "LICENSE", "NOTICE")


class Edge:
    """A folder for a device with numpy and onnxruntime alone: model.ort, signature.json, predict.py, a sample.

    Also as a zip, as a wheel, and as a static page that runs the model in a browser.
    """

    choices: tuple[Choice, ...] = (
        Choice("batch", "rows that the graph takes at once, as accelerators want; 0: any number", default=0),
        Choice("code", "ship your preprocess and postprocess as source, where they need numpy alone", default=False),
        Choice("wheel", "write the same as a wheel, too", default=False),
        Choice("zip", "write all of it as one zip, too", default=False),
        Choice("web", "write a page that runs the model in a browser, too", default=False),
        Choice("ort_web", "folder or archive of onnxruntime-web, in place of asking npm", default=""),
    )
    image = "none"

    def refuse(self, cargo: Cargo) -> None:
        """Raise `ShipFailed` or `InvalidOption` for a version that is no ONNX graph by itself, before any work."""
        check_fits(cargo)
        source_around(cargo.version, cargo.model)
        check_runtime(cargo.text("ort_web"))

    def write(self, cargo: Cargo, folder: Path, report: Report) -> Written:
        """Write the folder, and replay the version's rows with it. Raises `ShipFailed` where an answer differs."""
        version, notes = cargo.version, []
        around, code = source_around(version, cargo.model)
        session = _write_model(cargo, folder)
        signature = signature_of(version, session, batch=cargo.number("batch"), code=code)
        if cargo.options["web"]:
            check_fits_browser(cargo, signature)
        signature["files"] = {name: _sha256(folder / name) for name in ("model.ort", "model.onnx")}
        _write_json(folder / "signature.json", signature)
        _write_json(folder / "sample.json", _sample(cargo))
        shutil.copyfile(predict.__file__, folder / "predict.py")
        if code:
            (folder / "around.py").write_text(around, "utf-8")
        ort = write_requirements(folder)
        _check(cargo, folder)
        if cargo.options["web"]:
            missing = write_page(folder / "web", cargo.text("ort_web"), report)
            notes += [missing] if missing else []
            for name in ("model.ort", "signature.json", "sample.json"):
                shutil.copyfile(folder / name, folder / "web" / name)
        write_licenses(folder, runtime=(folder / "web" / "ort").is_dir())
        wheel = names_of(cargo.name) if cargo.options["wheel"] else None
        text = readme(version, signature, ort=ort, wheel=wheel, web=bool(cargo.options["web"]))
        (folder / "README.md").write_text(text, "utf-8")
        _pack(cargo, folder, code, ort)
        if version.provider:
            notes.append(f"the deployment runs it by {version.provider}, this folder by the processor")
        return Written(notes=tuple(notes), next=_next(cargo))


def _write_model(cargo: Cargo, folder: Path) -> Any:
    """Write model.onnx, model.ort and required_operators.config; returns a session of the model."""
    rows = cargo.number("batch")
    if rows:
        fixed_rows(model_file(cargo), folder / "model.onnx", rows)
    else:
        shutil.copyfile(model_file(cargo), folder / "model.onnx")
    session = write_ort(folder / "model.onnx", folder / "model.ort")
    write_operators(folder / "model.ort", folder / "required_operators.config")
    return session


def _sample(cargo: Cargo) -> dict[str, Any]:
    """The rows that travel with the version, and the trained model's answers to them."""
    inputs = json.loads((cargo.model / "sample.json").read_bytes())["inputs"]
    expected = json.loads((cargo.model / "expected.json").read_bytes())
    names = [output.name for output in cargo.version.outputs]
    return {"inputs": inputs, "expected": {name: expected[name] for name in names if name in expected}}


def _check(cargo: Cargo, folder: Path) -> None:
    """Answer with the folder as a device would; raises `ShipFailed` where an answer is another one.

    The few rows that travel are held to the trained model's answers, all rows that verified the version to its own.
    """
    version = cargo.version
    try:
        model = predict.Model(folder)
        found = model.check()
        wrong = found["differences"][0] if found["differences"] else ""
        kept, answers = cargo.record / "sample.json", cargo.record / "answers.json"
        if not wrong and kept.is_file() and answers.is_file():
            wrong = _differs(version, model, json.loads(kept.read_bytes())["inputs"], json.loads(answers.read_bytes()))
    except Exception as error:  # the person's own code may raise anything, and so may a graph
        raise _differently(version, f"{type(error).__name__}: {error}") from error
    if wrong:
        raise _differently(version, wrong)


def _differs(version: Version, model: predict.Model, inputs: Any, answers: dict[str, Any]) -> str:
    """How the answers to all rows differ, "" where they do not."""
    outputs = [output for output in version.outputs if output.name in answers]
    said = {name: predict.to_plain(value) for name, value in model.predict(inputs).items()}
    compared = compare(outputs, answers, said)
    return "" if compared.passed else compared.words


def _differently(version: Version, why: str) -> ShipFailed:
    return ShipFailed(
        f"v{version.number} of {version.deployment} answers its sample differently on the edge",
        why=why[:400],
        fix="ship it as an image: `%deploy containerize`",
    )


def _pack(cargo: Cargo, folder: Path, code: tuple[str, ...], ort: str) -> None:
    """The wheel and the zip, where they are asked for."""
    if cargo.options["wheel"]:
        (folder / "dist").mkdir()
        names = (*_PACKAGED, *(("around.py",) if code else ()))
        write_wheel(cargo.version, [folder / name for name in names], folder / "dist", ort)
    if cargo.options["zip"]:
        write_zip(cargo.version, folder, folder / f"{cargo.name}-v{cargo.version.number}.zip")


def _next(cargo: Cargo) -> tuple[str, ...]:
    commands = ["pip install -r requirements.txt", "python predict.py --check"]
    if cargo.options["web"]:
        commands.append("python -m http.server -d web 8000")
    return tuple(commands)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
