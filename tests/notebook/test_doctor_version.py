"""`doctor NAME`: the environment anew from the Bento alone. The real thing once; what may go wrong, without indexes."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from records import make_version

import autodeploy_magic as ad
from autodeploy_magic.build import BuildRequest, SubprocessRunner, build
from autodeploy_magic.build.environment import installer, rebuild
from autodeploy_magic.build.environment.rebuild import Rebuilt, rebuilt_environment
from autodeploy_magic.calling.snippets import Snippets
from autodeploy_magic.contracts import Desired, Status, Version, encode
from autodeploy_magic.errors import MissingPackage, PackageFailed, UnknownDeployment
from autodeploy_magic.notebook.result import Card, Plan
from autodeploy_magic.notebook.views import Checks
from autodeploy_magic.store import Store


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with one version of a small classifier, behind a preprocess that imports late."""
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    def preprocess(x: Any) -> Any:
        from scipy.special import expit

        return np.asarray(x) + 0 * expit(0.0)

    preprocess.__module__ = "__main__"
    folder = tmp_path_factory.mktemp("state")
    store = Store(folder)
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=1000).fit(X, y)
    request = BuildRequest("iris", model, X, code={"preprocess": preprocess}, format="native")
    built = build(request, store, SubprocessRunner(), lambda progress: None)
    store.save_desired(Desired(name="iris", version=built.number, executable="python", state="stopped"))
    return folder


@pytest.fixture
def store(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    monkeypatch.setenv("AUTODEPLOY_HOME", str(home))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where environments are made, and have to be gone from
    return Store(home)


@pytest.fixture
def place(store: Store, tmp_path: Path) -> Rebuilt:
    (tmp_path / "place").mkdir()
    return Rebuilt(store, store.version("iris", 1), tmp_path / "place")


def told(checks: Checks) -> dict[str, str]:
    return {check.what: check.state for check in checks}


@pytest.mark.slow
def test_a_version_lives_from_its_bento_alone(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Really: every requirement from the indexes of this machine, into an environment that has nothing else."""
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "scipy.py").write_text("raise ImportError('PYTHONPATH is seen')")
    monkeypatch.setenv("PYTHONPATH", str(trap))
    checks = ad.doctor("iris")
    assert {check.state for check in checks} == {"ok"}, checks.text()
    installed, answered = (check.what for check in checks)
    assert "packages install from the Bento's requirements" in installed
    assert "MB" in installed
    assert "answers its sample as verified" in answered
    shown = capsys.readouterr().err
    assert [line.split()[1] for line in shown.splitlines()] == ["environment", "install", "replay"]
    assert not list(tmp_path.glob("autodeploy-doctor-*")), "nothing stays"


def test_without_a_name_it_checks_this_machine(store: Store) -> None:
    assert any("every file as it was built" in what for what in told(ad.doctor()))


def test_a_name_that_is_not_there(store: Store) -> None:
    with pytest.raises(UnknownDeployment):
        ad.doctor("irsi")


def test_in_a_terminal_a_failure_is_the_exit_code(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from autodeploy_magic.cli import main

    monkeypatch.setattr(rebuild.Rebuilt, "create", _fails)
    assert main(["doctor", "iris"]) == 1


def _fails(self: Rebuilt) -> str:
    raise PackageFailed("no venv today", why="because", fix="tomorrow")


def test_a_conflict_and_a_note_are_told_before(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    version = store.version("iris", 1)
    file = store.version_folder("iris", 1) / "version.json"
    before = file.read_bytes()
    environment = msgspec.structs.replace(
        version.environment, conflicts=("a 1 needs b>2, and b==1: pip install b",), notes=("c is odd: see to it",)
    )
    file.write_bytes(encode(msgspec.structs.replace(version, environment=environment)))
    monkeypatch.setattr(rebuild.Rebuilt, "create", _fails)
    try:
        named, plain = ad.doctor("iris"), ad.doctor()
    finally:
        file.write_bytes(before)
    assert [(check.state, check.fix) for check in named] == [
        *(("warn", "pip install b"), ("warn", "see to it")),
        ("fail", "tomorrow"),
    ]
    assert "iris v1: a 1 needs b>2, and b==1" in told(plain)
    assert not any("c is odd" in what for what in told(plain))


def test_the_card_of_a_deployment_and_a_dry_run_say_what_to_know() -> None:
    version = make_version()
    environment = msgspec.structs.replace(version.environment, conflicts=("a needs b",), notes=("c is odd",))
    version = msgspec.structs.replace(version, environment=environment)
    status = Status(name="iris", state="running", version=1)
    snippets = Snippets(curl="curl", python="python", javascript="js")
    drawings = (Card(status, version, snippets), Plan("iris", version, fresh=True, serving=None, url=""))
    for drawn in drawings:
        assert "to know      a needs b" in drawn.text()
        assert "to know      c is odd" in drawn.text()
        assert "c is odd" in str(drawn.html())


def test_what_cannot_be_installed_is_said_in_the_installer_s_words(
    place: Rebuilt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From an empty index: whatever is asked for, it does not have."""
    (tmp_path / "empty").mkdir()
    for name in ("PIP_INDEX_URL", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    place.create()
    with pytest.raises(PackageFailed, match=r"(?s)cannot be installed.*No matching distribution.*pip config list"):
        place.install(60)


def test_uv_is_told_what_pip_s_configuration_says() -> None:
    config = (
        ":env:.find-links='/wheels /more'\n"
        "global.index-url='https://u:pw@one.example'\n"
        "install.index-url='https://two.example'\n"
        "global.extra-index-url='https://a.example\\nhttps://b.example'\n"
        "global.timeout='60'\n"
    )
    assert installer.uv_environment(config) == {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_NO_CONFIG": "1",
        "UV_DEFAULT_INDEX": "https://two.example",
        "UV_EXTRA_INDEX_URL": "https://a.example https://b.example",
        "UV_FIND_LINKS": "/wheels,/more",
    }


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("Temporary failure in name resolution for https://u:pw@x.example", "offline"),
        ("ERROR: ResolutionImpossible", "does not fit together"),
        ("No matching distribution found for a==1", "an index must have every version"),
    ],
)
def test_a_failure_of_installers_says_what_to_do_and_no_password(
    lines: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], timeout_s: float, env: dict[str, str]) -> tuple[int, str]:
        asked.append(command)
        assert "pw" not in " ".join(command)
        return (0, "global.index-url='https://u:pw@x.example'") if "config" in command else (1, lines)

    with pytest.raises(PackageFailed, match=words) as caught:
        installer.install(tmp_path / "requirements.txt", tmp_path / "python", run, 10)
    assert "pw@" not in str(caught.value)
    assert len(asked) == 3, "pip tries again what uv could not"
    monkeypatch.setattr(installer, "find_uv", lambda: "")
    with pytest.raises(MissingPackage, match="ensurepip"):
        installer.install(tmp_path / "requirements.txt", tmp_path / "python", lambda *_: (1, ""), 10)


def _version(version: Version, **change: Any) -> Version:
    return msgspec.structs.replace(version, environment=msgspec.structs.replace(version.environment, **change))


def test_another_python_is_looked_for_and_missed(place: Rebuilt) -> None:
    place.version = _version(place.version, python="3.99.1")
    with pytest.raises(
        MissingPackage, match=r"(?s)needs Python 3\.99.*no python3\.99 on the PATH.*uv python install 3\.99"
    ):
        place.create()


def _here(place: Rebuilt) -> None:
    """An environment that sees what is installed here: what is tried is what comes after installing."""
    folder = place.folder / "venv"
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", str(folder)],
        check=True,
    )
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "here.pth").write_text(sysconfig.get_path("purelib"))


def test_another_answer_is_found(place: Rebuilt, store: Store) -> None:
    _here(place)
    answers = store.version_folder("iris", 1) / "answers.json"
    before = answers.read_bytes()
    changed = msgspec.json.decode(before)
    changed["predictions"][3] = 2 - changed["predictions"][3] + 1
    answers.write_bytes(msgspec.json.encode(changed))
    try:
        comparison = place.replay(60)
    finally:
        answers.write_bytes(before)
    assert not comparison.passed
    assert "differ in 1 of 150 rows" in comparison.words


def test_a_damaged_file_of_the_bento_is_a_finding(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    version = store.version("iris", 1)
    file = next(artifact.path for artifact in version.artifacts if artifact.role == "model")
    model = store.folder("iris") / version.model_path / file
    before = model.read_bytes()
    monkeypatch.setattr(rebuild.Rebuilt, "create", _here)
    monkeypatch.setattr(rebuild.Rebuilt, "install", lambda self, s: 0)
    model.write_bytes(before + b"0")
    try:
        found = ad.doctor("iris")
    finally:
        model.write_bytes(before)
    assert [check.state for check in found] == ["ok", "fail"]
    assert f"{file} is not the file that was built" in found[-1].what


def test_an_interrupt_ends_what_runs_and_leaves_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    started: list[psutil.Process] = []
    wait: Callable[..., int] = subprocess.Popen.wait

    def interrupted(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        if timeout is None:
            return wait(process)
        started.append(psutil.Process(process.pid))
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt), rebuilt_environment(store, store.version("iris", 1)) as place:
        place.create()
    assert started
    assert not started[0].is_running()
    assert not list(tmp_path.glob("autodeploy-doctor-*"))
