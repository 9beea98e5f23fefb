"""What counts as a proof of an image, with an entry that says what the test wants."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from records import make_version

from autodeploy_magic.contracts import Output
from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.serve import owner
from autodeploy_magic.ship.image.engines import Chosen
from autodeploy_magic.ship.image.known import Known
from autodeploy_magic.ship.image.verify import CannotStart, Subject, outside, started
from autodeploy_magic.ship.telling import Telling

EXPECTED = {"predictions": ["a", "b", "c"], "probabilities": [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]}
KNOWN = Known("sha256:0", "sha256:0", 1, user="65532:65532", entrypoint=("python3.11", "-m", "x"))


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    import msgspec

    record = tmp_path / "record"
    record.mkdir()
    (record / "sample.json").write_text(json.dumps({"inputs": [[1], [2], [3]]}))
    (record / "answers.json").write_text(json.dumps(EXPECTED))
    outputs = (
        Output(name="predictions", container="ndarray", dtype="object"),
        Output(name="probabilities", container="ndarray", dtype="float64", shape=(2,)),
    )
    return Subject(msgspec.structs.replace(make_version(3), outputs=outputs), record, tmp_path / "model")


def entry(root: Path, answer: Any, *, code: int = 0) -> Path:
    """Files of an image whose entry repeats what it was asked on standard error, and answers this."""
    folder = root / "app" / "autodeploy" / "autodeploy_magic" / "serve" / "alone"
    folder.mkdir(parents=True)
    for place in (folder, folder.parent, folder.parent.parent):
        (place / "__init__.py").touch()
    text = answer if isinstance(answer, str) else json.dumps(answer)
    (folder / "__main__.py").write_text(
        "import os, sys\n"
        "sys.stderr.write(sys.stdin.read() + ' ' + os.environ['AUTODEPLOY_MODEL'] + ' ' + str(sys.path))\n"
        f"print('a line of a library')\nprint({text!r})\nsys.exit({code})\n"
    )
    return root


def engine(path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A Podman that does this."""
    shell = shutil.which("sh")
    assert shell is not None
    (path / "bin").mkdir()
    (path / "bin" / "podman").write_text(f'#!{shell}\n[ "$1" = run ] || exit 0\n{body}\n')
    (path / "bin" / "podman").chmod(0o755)
    monkeypatch.setenv("PATH", str(path / "bin"))


def answered(**changes: Any) -> dict[str, Any]:
    return {"ready_s": 0.5, "rss_bytes": 70, "answers": {**EXPECTED, **changes}, "python": "3.11.2", "version": 3}


def test_the_files_of_an_image_answer_outside_of_it(tmp_path: Path, subject: Subject) -> None:
    root, log = entry(tmp_path / "root", answered()), tmp_path / "log"
    proof = outside(root, subject, tmp_path, Telling(log), why="no engine", timeout_s=20)
    assert (proof.checked, proof.rows, proof.ready_s, proof.rss_bytes) == ("outside", 3, 0.5, 70)
    assert "no engine" in proof.notes[0]
    said = log.read_text()
    assert json.loads(said[: said.index("}") + 1]) == {
        "inputs": [[1], [2], [3]],
        "outputs": ["predictions", "probabilities"],
    }
    assert str(root / "app" / "model") in said
    assert "site-packages" not in said  # nothing that is installed here answers in place of what is in the image


def test_rows_that_differ_are_named(tmp_path: Path, subject: Subject) -> None:
    wrong = answered(predictions=["a", "a", "c"], probabilities=[[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    root = entry(tmp_path / "root", wrong)
    with pytest.raises(ShipFailed, match="answers otherwise than v3 of iris did") as caught:
        outside(root, subject, tmp_path, Telling(""), why="", timeout_s=20)
    assert caught.value.details["rows"] == [1]
    assert "rows 1 of the sample" in caught.value.why


def test_numbers_may_differ_by_what_the_build_allows(tmp_path: Path, subject: Subject) -> None:
    close = answered(probabilities=[[0.9 + 1e-9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    root = entry(tmp_path / "root", close)
    assert outside(root, subject, tmp_path, Telling(""), why="", timeout_s=20).rows == 3


def test_an_error_inside_is_told_as_it_was(tmp_path: Path, subject: Subject) -> None:
    error = {"error": {"error": "StartFailed", "what": "no model", "why": "a file is gone", "fix": "put it there"}}
    root = entry(tmp_path / "root", error, code=1)
    with pytest.raises(ShipFailed, match="in the image: no model") as caught:
        outside(root, subject, tmp_path, Telling(""), why="", timeout_s=20)
    assert (caught.value.why, caught.value.fix) == ("a file is gone", "put it there")


def test_an_error_inside_names_no_log_that_has_nothing_of_it(
    tmp_path: Path, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "_alone", True)
    fix = f"{owner.log_of('iris')} shows where"
    told = {"error": "StartFailed", "what": "v3 did not start", "why": "no a", "fix": fix}
    root = entry(tmp_path / "root", {"error": told}, code=1)
    with pytest.raises(ShipFailed, match="in the image: v3 did not start") as caught:
        outside(root, subject, tmp_path, Telling(""), why="", timeout_s=20)
    assert fix not in caught.value.fix
    assert "--flavour bento" in caught.value.fix


def test_an_entry_that_dies_is_told_with_its_last_words(tmp_path: Path, subject: Subject) -> None:
    root = entry(tmp_path / "root", "no JSON at all", code=3)
    with pytest.raises(ShipFailed, match=r"does not start \(exit code 3\)") as caught:
        outside(root, subject, tmp_path, Telling(""), why="", timeout_s=20)
    assert "inputs" in caught.value.why


def test_a_container_gets_no_network_no_rights_and_nothing_to_write(
    tmp_path: Path, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine(tmp_path, monkeypatch, f"echo \"$@\" >&2; echo '{json.dumps(answered())}'")
    log = tmp_path / "log"
    proof = started(Chosen("podman"), "iris:v3", KNOWN, subject, "a-job", Telling(log), timeout_s=20)
    assert (proof.checked, proof.rows, proof.notes) == ("started", 3, ())
    said = log.read_text()
    for words in ("--network none", "--read-only", "--cap-drop ALL", "no-new-privileges", "--name a-job-check"):
        assert words in said


def test_an_image_that_would_run_as_root_is_refused(tmp_path: Path, subject: Subject) -> None:
    root = Known("sha256:0", "sha256:0", 1, user="")
    with pytest.raises(ShipFailed, match="would run as root"):
        started(Chosen("podman"), "iris:v3", root, subject, "a-job", Telling(""), timeout_s=20)


@pytest.mark.parametrize(
    "body",
    ["echo 'Error: cannot start' >&2; exit 125", "echo 'Error: OCI runtime error: crun: hybrid cgroups' >&2; exit 126"],
)
def test_an_engine_that_starts_nothing_here_is_no_fault_of_the_image(
    tmp_path: Path, subject: Subject, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    engine(tmp_path, monkeypatch, body)
    with pytest.raises(CannotStart):
        started(Chosen("podman"), "iris:v3", KNOWN, subject, "a-job", Telling(""), timeout_s=20)


def test_a_base_without_the_python_is_a_fault_of_the_image(
    tmp_path: Path, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = 'Error: runc: exec: \\"python3.11\\": executable file not found in $PATH: OCI runtime attempted to invoke'
    engine(tmp_path, monkeypatch, f"echo '{said}' >&2; exit 127")
    with pytest.raises(ShipFailed, match=r"does not start \(exit code 127\)") as caught:
        started(Chosen("podman"), "iris:v3", KNOWN, subject, "a-job", Telling(""), timeout_s=20)
    assert "python3.11" in caught.value.why
    assert "--base" in caught.value.fix


def test_what_does_not_answer_in_time_is_ended(
    tmp_path: Path, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine(tmp_path, monkeypatch, "while :; do :; done")
    with pytest.raises(ShipFailed, match="did not answer its sample within") as caught:
        started(Chosen("podman"), "iris:v3", KNOWN, subject, "a-job", Telling(""), timeout_s=0.3)
    assert "AUTODEPLOY_BUILD_TIMEOUT_S" in caught.value.fix
