"""The proof of an image: it is started as it will be run, answers the sample that its version was verified with, and
each answer is compared with what the version said then.

It has no network, no rights and nothing to write to but /tmp, and runs as the user that the image names. Buildah has no
way to start a container: it runs the image's own command in the image's files. Where nothing here can do either, the
files that went into the image answer outside of it, by a Python of this machine; that is said, since it proves less.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from autodeploy_magic.build.compare import compare
from autodeploy_magic.contracts import Version
from autodeploy_magic.errors import ShipFailed, from_payload
from autodeploy_magic.ship.image.engines import Chosen, ask, environment
from autodeploy_magic.ship.image.known import ASK_S, Known
from autodeploy_magic.ship.image.run import JOB, Container, command
from autodeploy_magic.ship.image.said import advised
from autodeploy_magic.ship.telling import Telling
from autodeploy_magic.shipping import APP_USER

__all__ = ["Proof", "Subject", "outside", "started"]

_ENTRY = ("-m", "autodeploy_magic.serve.alone")
_NO_CONTAINER = 125
"""The exit code of Docker and Podman where it was they that failed, and no container ran."""
_RUNTIME = re.compile(r"OCI runtime|runc|crun|cgroup|netavark|slirp4netns|pasta|conmon", re.IGNORECASE)
_NOT_THERE = re.compile(r"executable file.{0,60}not found|no such file or directory", re.IGNORECASE)
_SHOWN_ROWS = 5
_ELSEWHERE = "container's log"
"""What `serve.owner` calls the log of who serves; a container that proves has gone with its own."""
_LOGGED = (
    "the log of this build has what it said; where a package is missing that is imported only now and then, --flavour"
    " bento brings all of them"
)


@dataclass(frozen=True)
class Subject:
    """The version that an image is of, and the folder with the rows and answers that verified it."""

    version: Version
    record: Path
    model: Path


@dataclass(frozen=True)
class Proof:
    """How an image was proved; see `shipping.Image`."""

    checked: Literal["started", "outside"]
    rows: int
    ready_s: float
    rss_bytes: int
    notes: tuple[str, ...] = ()


class CannotStart(Exception):
    """The engine does not run containers on this machine, whatever is in them."""


def started(
    chosen: Chosen, image: str, known: Known, subject: Subject, job: str, telling: Telling, *, timeout_s: float
) -> Proof:
    """Start the image with its engine, replay and compare. Raises `ShipFailed`, or `CannotStart`."""
    if known.user not in (f"{APP_USER}:{APP_USER}", str(APP_USER)):
        raise ShipFailed(
            f"{image} would run as {known.user or 'root'}",
            why=f"an image of ours runs as {APP_USER}",
            fix="report this: the image was removed",
        )
    asked, expected = _question(subject)
    if chosen.engine.starts:
        answer = _in_container(chosen.name, image, asked, job, telling, timeout_s)
    elif chosen.engine.steps_in:
        answer = _in_its_files(chosen.name, image, known, asked, job, telling, timeout_s)
    else:
        raise CannotStart(f"{chosen.name} builds images and does not run them")
    notes = () if chosen.engine.starts else (f"{chosen.name} ran it in its files alone: no container was started",)
    return _judged(subject, answer, expected, image, "started", notes)


def outside(
    root: Path,
    subject: Subject,
    work: Path,
    telling: Telling,
    *,
    why: str,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
) -> Proof:
    """Have the files below `root` answer, as an image has them, by this Python. Raises `ShipFailed`."""
    asked, expected = _question(subject)
    app, home = root / "app", work / "outside"
    home.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH") if name in os.environ}
    values = {
        **kept,
        **(env or {}),
        "PYTHONPATH": os.pathsep.join((str(app / "autodeploy"), str(app / "packages"))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AUTODEPLOY_MODEL": str(app / "model"),
        "AUTODEPLOY_STATE": str(home / "state"),
        "HOME": str(home),
        "TMPDIR": str(home),
    }
    # -S: what is installed here is not in the image, and must not answer in its place.
    answer = _call([sys.executable, "-S", *_ENTRY, "check"], asked, telling, timeout_s, env=values, cwd=app)
    note = f"its files answered outside of it, on this machine: {why}"
    return _judged(subject, answer, expected, "the files of the image", "outside", (note,))


def _question(subject: Subject) -> tuple[bytes, dict[str, Any]]:
    """What is asked, and what was answered when the version was verified."""
    sample, answers = subject.record / "sample.json", subject.record / "answers.json"
    if not (sample.is_file() and answers.is_file()):  # what travels with the model is a part of them
        sample, answers = subject.model / "sample.json", subject.model / "expected.json"
    inputs = msgspec.json.decode(sample.read_bytes(), type=dict[str, msgspec.Raw])["inputs"]
    expected = msgspec.json.decode(answers.read_bytes(), type=dict[str, Any])
    return msgspec.json.encode({"inputs": inputs, "outputs": list(expected)}), expected


def _in_container(
    engine: str, image: str, asked: bytes, job: str, telling: Telling, timeout_s: float
) -> dict[str, Any]:
    container = Container(
        engine=engine,
        image=image,
        name=f"{job}-check",
        words=("check",),
        labels={JOB: job},
        network="none",
        interactive=True,
        watched=False,
    )
    try:
        return _call(command(container), asked, telling, timeout_s, env=environment())
    finally:
        ask(engine, "rm", "--force", container.name, timeout_s=ASK_S)  # where it was ended before it ended by itself


def _in_its_files(
    engine: str, image: str, known: Known, asked: bytes, job: str, telling: Telling, timeout_s: float
) -> dict[str, Any]:
    """With Buildah: as the image's user, in its files, with its variables."""
    name = f"{job}-check"
    code, _, errors = ask(engine, "from", "--name", name, "--pull-never", image, timeout_s=ASK_S)
    if code:
        raise CannotStart(errors.strip())
    try:
        words = [engine, "run", "--isolation", "chroot", "--user", known.user, name, "--", *known.entrypoint, "check"]
        return _call(words, asked, telling, timeout_s, env=environment())
    finally:
        ask(engine, "rm", name, timeout_s=ASK_S)


def _call(
    words: Sequence[str],
    asked: bytes,
    telling: Telling,
    timeout_s: float,
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
) -> dict[str, Any]:
    """Run `check` and return the line that it prints. Raises `ShipFailed`, or `CannotStart`."""
    try:
        done = subprocess.run(
            words, input=asked, capture_output=True, timeout=timeout_s, env=dict(env), cwd=cwd, check=False
        )
    except subprocess.TimeoutExpired as error:
        telling.line((error.stderr or b"").decode("utf-8", "replace"))
        raise ShipFailed(
            f"the image did not answer its sample within {timeout_s:.0f} s",
            why=_last((error.stderr or b"").decode("utf-8", "replace")),
            fix="raise AUTODEPLOY_BUILD_TIMEOUT_S if the model needs longer; one for another kind of machine, which is"
            " emulated here, needs far longer or never answers: build it on such a machine",
        ) from error
    except OSError as error:
        raise CannotStart(f"{words[0]} could not be started: {error}") from error
    said = done.stderr.decode("utf-8", "replace")
    telling.line(said)
    answer = _answer(done.stdout) or _answer(done.stderr)
    if answer is None:
        failed = done.returncode == _NO_CONTAINER or (done.returncode in (126, 127) and _RUNTIME.search(said))
        if failed and not _NOT_THERE.search(said):
            raise CannotStart(advised(_last(said)))
        raise ShipFailed(
            f"the image does not start (exit code {done.returncode})",
            why=_last(said) or "it printed nothing",
            fix="what the last lines name is missing from it or from the image that it stands on (--base): that has to"
            " bring the version's Python and the system's libraries",
        )
    if "error" in answer:
        told = from_payload({"details": {}, "why": "", "fix": "", "error": "ShipFailed", **answer["error"]})
        fix = _LOGGED if _ELSEWHERE in told.fix else told.fix
        raise ShipFailed(f"in the image: {told.what}", why=told.why or _last(said), fix=fix)
    return answer


def _answer(output: bytes) -> dict[str, Any] | None:
    """The last line that is an answer of `check`."""
    for line in reversed(output.splitlines()):
        try:
            found = msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue
        if isinstance(found, dict) and ("answers" in found or isinstance(found.get("error"), dict)):
            return found
    return None


def _judged(
    subject: Subject,
    answer: dict[str, Any],
    expected: dict[str, Any],
    image: str,
    checked: Literal["started", "outside"],
    notes: tuple[str, ...],
) -> Proof:
    """Compare each row by the tolerances of the build. Raises `ShipFailed` with the rows that differ."""
    outputs = [output for output in subject.version.outputs if output.name in expected]
    found = compare(outputs, expected, answer["answers"])
    if not found.passed:
        rows = ", ".join(str(row) for row in found.differing[:_SHOWN_ROWS])
        more = len(found.differing) - _SHOWN_ROWS
        raise ShipFailed(
            f"{image} answers otherwise than v{subject.version.number} of {subject.version.deployment} did",
            why=f"{found.words}; rows {rows}{f' and {more} more' if more > 0 else ''} of the sample",
            fix="its Python or its packages differ from those it was made with: see the notes of the build; the image"
            " was removed",
            rows=list(found.differing),
        )
    answers = expected["predictions"]
    rows_compared = len(answers) if isinstance(answers, list) else subject.version.sample_rows
    return Proof(checked, rows_compared, float(answer["ready_s"]), int(answer["rss_bytes"]), notes)


def _last(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if line.strip())[-2000:]
