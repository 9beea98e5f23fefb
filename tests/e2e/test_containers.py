"""Images, built and run for real: by Podman, by Buildah, by none and by Docker; each answers as the live object."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pandas as pd
import psutil
import pytest
from deployed import PEOPLE, iris_model, people_model
from versions import NAMES, X
from world import WAIT_S, until
from yards import BASE, Engines, dockerd, engines, full_base

from autodeploy_magic.build import BuildRequest, Built, SubprocessRunner, build
from autodeploy_magic.errors import InvalidOption, ShipFailed
from autodeploy_magic.ship.image.build import Job, run
from autodeploy_magic.ship.image.run import Container, command
from autodeploy_magic.ship.telling import read
from autodeploy_magic.shipping import Image
from autodeploy_magic.store import Store, file_sha256

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

MODULE = "SHIFT = 1.0\n\ndef shifted(table):\n    return table.assign(age=table['age'] + SHIFT)\n"
TOKEN = "a-token-of-the-tests-0123456789"
OWN = "localhost/bento:1"
BENTOS_PYTHON = "/app/.venv/bin/python"
INSTALLED = (
    "import json, re\nfrom importlib.metadata import distributions\n"
    "print(json.dumps([(re.sub('[-_.]+', '-', d.name).lower(), d.version) for d in distributions()]))"
)
NO_PACKAGES = re.compile(r"Failed to fetch|No solution found|dns error|Network connectivity is disabled")
"""What uv says where it cannot have a package."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def iris(home: Store) -> Built:
    return made(home, BuildRequest("iris", iris_model(), X, note="two words; $(touch /x) \"q\" 'r' {{ y }}"))


@pytest.fixture(scope="module")
def people(home: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Built, Any]]:
    """A native pipeline over a table with text, behind a preprocess function that uses a module of one's own."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "shifting_own.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        import shifting_own  # type: ignore[import-not-found]

        def preprocess(table: pd.DataFrame) -> pd.DataFrame:
            shifted: pd.DataFrame = shifting_own.shifted(table)
            return shifted

        model = people_model()
        request = BuildRequest("people", model, PEOPLE, code={"preprocess": preprocess}, format="native")
        yield made(home, request), model.predict(preprocess(PEOPLE))
        sys.modules.pop("shifting_own", None)


@pytest.fixture(scope="module")
def yard() -> Iterator[Engines]:
    with engines() as found:
        yield found


@pytest.fixture(scope="module")
def image(home: Store, iris: Built, yard: Engines, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image of the iris model, which Podman built."""
    return containerize(home, iris, tmp_path_factory.mktemp("podman"), engine="podman", base=BASE)


def made(store: Store, request: BuildRequest) -> Built:
    return build(request, store, SubprocessRunner(), lambda progress: None)


def job(store: Store, built: Built, work: Path, **wanted: str) -> dict[str, Any]:
    """The order of a build, as the supervisor gives it."""
    version = built.version
    (work / "scratch").mkdir(exist_ok=True)
    return {
        "name": version.deployment,
        "version": version.number,
        "model": str(store.folder(version.deployment) / version.model_path),
        "record": str(store.version_folder(version.deployment, version.number)),
        "bento": version.bento,
        "bentoml_home": str(store.bentoml_home(version.deployment)),
        "wanted": wanted,
        "settings": {"max_rows": 500},
        "work": str(work / "scratch"),
        "log": str(work / "log"),
    }


def containerize(store: Store, built: Built, work: Path, **wanted: str) -> Image:
    return msgspec.convert(run(job(store, built, work, **wanted)), Image)


def rows_of(table: pd.DataFrame) -> Any:
    return json.loads(table.to_json(orient="records", date_format="iso"))


def checked(engine: str, name: str, inputs: Any) -> dict[str, Any]:
    """What the image itself answers, as a person would try it."""
    words = command(Container(engine=engine, image=name, words=("check",), network="none", interactive=True))
    asked = json.dumps({"inputs": inputs, "outputs": ["predictions"]})
    done = subprocess.run(words, input=asked, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["answers"]
    return answers


class Served:
    """A container that serves on a free port of this machine."""

    def __init__(self, yard: Engines, name: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        os.environ["AUTODEPLOY_TOKEN"] = TOKEN
        try:
            words = command(
                Container(
                    engine="podman",
                    image=name,
                    network="host",
                    environment={"PORT": str(port)},
                    handed=("AUTODEPLOY_TOKEN",),
                    detached=True,
                )
            )
            assert TOKEN not in " ".join(words)
            words.remove("--rm")  # its end is looked at
            self.id = yard.call(*words)
        finally:
            del os.environ["AUTODEPLOY_TOKEN"]
        self.yard = yard
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=WAIT_S)
        until(self._ready)

    def inside(self, code: str, python: str = "python3.11") -> str:
        """What a line of Python says in the container."""
        return self.yard.call("podman", "exec", self.id, python, "-c", code)

    def logs(self) -> list[dict[str, Any]]:
        words = ["podman", "logs", self.id]
        done = subprocess.run(words, capture_output=True, text=True, timeout=WAIT_S, check=True)
        return [json.loads(line) for line in (done.stdout + done.stderr).splitlines()]

    def close(self) -> None:
        self.client.close()
        self.yard.call("podman", "rm", "--force", "--time", "0", self.id, check=False)

    def _ready(self) -> bool:
        try:
            return self.client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def served(yard: Engines, image: Image) -> Iterator[Served]:
    found = Served(yard, image.name)
    yield found
    found.close()


def test_what_was_built_was_started_and_proved(image: Image, iris: Built, tmp_path: Path) -> None:
    assert (image.name, image.engine, image.flavour) == ("iris:v1", "podman", "lean")
    assert (image.checked, image.rows) == ("started", len(X))
    assert image.version_digest == iris.version.digest
    assert image.digest.startswith("sha256:")
    assert 0 < image.added_bytes < image.size_bytes
    assert image.added_bytes < 200e6
    assert image.ready_s > 0
    assert image.rss_bytes > 0
    assert image.run[1].startswith("podman run ")


def test_a_container_answers_as_the_notebooks_object(served: Served) -> None:
    answer = served.client.post(
        "/predict", json={"inputs": X.tolist()}, headers={"authorization": f"Bearer {TOKEN}"}
    ).json()
    assert answer["predictions"] == iris_model().predict(X).tolist()


def test_a_container_asks_for_the_token(served: Served) -> None:
    assert served.client.post("/predict", json={"inputs": X[:1].tolist()}).status_code == 401
    wrong = {"authorization": "Bearer no"}
    assert served.client.post("/predict", json={"inputs": X[:1].tolist()}, headers=wrong).status_code == 401


def test_a_container_has_no_rights_and_a_root_that_cannot_be_written(served: Served) -> None:
    status = dict(
        line.split(":", 1) for line in served.inside("print(open('/proc/1/status').read())").splitlines() if ":" in line
    )
    assert status["Uid"].split() == ["65532"] * 4
    assert status["Gid"].split() == ["65532"] * 4
    for kind in ("CapEff", "CapPrm", "CapInh", "CapBnd"):
        assert int(status[kind], 16) == 0, kind
    assert status["NoNewPrivs"].strip() == "1"
    tried = "import os\nfor p in ('/x', '/app/x', '/app/model/x', '/usr/x'):\n try: open(p, 'w'); print(p)\n"
    assert served.inside(tried + " except OSError as e: print(e.errno)").split() == ["30"] * 4  # EROFS


def test_an_image_has_nothing_to_build_with_and_no_caches(served: Served) -> None:
    code = (
        "import os, importlib.util as u, shutil\n"
        "print([m for m in ('pip', 'setuptools', 'uv', 'sklearn', 'bentoml', 'scipy') if u.find_spec(m)])\n"
        "print([t for t in ('pip', 'uv', 'gcc', 'cc', 'make', 'git', 'apt-get', 'curl') if shutil.which(t)])\n"
        "print([p for p in ('/root/' + '.cache', '/root/' + '.local', '/home/bentoml') if os.path.isdir(p)"
        " and os.listdir(p)])\n"
        "print([f for d, _, fs in os.walk('/app') for f in fs if os.stat(os.path.join(d, f)).st_uid])\n"
    )
    assert served.inside(code).splitlines() == ["[]"] * 4


def test_an_image_tells_what_is_in_it(yard: Engines, image: Image, iris: Built, served: Served) -> None:
    told = json.loads(yard.call("podman", "image", "inspect", image.name))[0]
    labels = told["Config"]["Labels"]
    assert labels["autodeploy_magic.digest"] == iris.version.digest
    assert labels["org.opencontainers.image.version"] == "1"
    assert labels["org.opencontainers.image.created"] == iris.version.created_at
    assert labels["org.opencontainers.image.base.name"] == BASE
    assert labels["org.opencontainers.image.description"] == iris.version.note  # as it was typed, and nothing was run
    assert told["Config"]["StopSignal"] == "SIGTERM"
    assert told["Config"]["User"] == "65532:65532"
    bill = json.loads(served.inside("print(open('/app/sbom.cdx.json').read())"))
    assert bill["bomFormat"] == "CycloneDX"
    assert {"onnxruntime", "numpy"} <= {part["name"] for part in bill["components"]}


def test_a_container_says_how_it_is(yard: Engines, image: Image, served: Served) -> None:
    told = json.loads(yard.call("podman", "image", "inspect", image.name))[0]
    asked = told["HealthCheck" if "HealthCheck" in told else "Healthcheck"]["Test"]
    assert asked[0] == "CMD"
    yard.call("podman", "exec", served.id, *asked[1:])  # exit code 0
    yard.call("podman", "healthcheck", "run", served.id)


def test_the_log_is_json_and_a_container_ends_when_told(served: Served, yard: Engines) -> None:
    yard.call("podman", "stop", "--time", "30", served.id)
    assert (
        yard.call("podman", "inspect", "--format", "{{.State.ExitCode}}", served.id) == "0"
    )  # not 137: it was not killed
    lines = served.logs()
    assert lines
    assert {"time", "level", "message"} <= set.intersection(*(set(line) for line in lines))
    assert not any(TOKEN in json.dumps(line) for line in lines)


def test_buildah_makes_the_same_image(home: Store, iris: Built, image: Image, yard: Engines, tmp_path: Path) -> None:
    again = containerize(home, iris, tmp_path, engine="buildah", base=BASE, tag="localhost/again:1")
    assert again.content == image.content
    assert again.digest == image.digest
    assert (again.checked, again.rows) == ("started", len(X))
    steps, lines = read((tmp_path / "log").read_bytes())
    assert [(one.step, one.state) for one in steps] == [
        (step, state) for step in ("stage", "build", "verify") for state in ("started", "done")
    ]
    assert any("COPY" in line for line in lines)
    yard.call("buildah", "rmi", "localhost/again:1")
    assert yard.left() == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_native_pipeline_over_text_with_ones_own_module(
    home: Store, people: tuple[Built, Any], yard: Engines, tmp_path: Path
) -> None:
    built, live = people
    found = containerize(home, built, tmp_path, engine="podman", base=BASE)
    assert (found.checked, found.rows) == ("started", len(PEOPLE))
    answer = checked("podman", found.name, rows_of(PEOPLE))
    assert np.array_equal(answer["predictions"], live)


def test_an_archive_needs_no_engine_and_every_engine_can_load_it(
    home: Store, iris: Built, yard: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(bare))
        found = containerize(home, iris, tmp_path, base=str(yard.base_tar), folder=str(tmp_path / "to"))
    assert (found.engine, found.checked, found.rows) == ("", "outside", len(X))
    assert "no container engine is installed" in found.notes[0]
    assert any("outside" in note for note in found.notes)
    with tarfile.open(found.archive) as archive:
        assert {"oci-layout", "index.json", "manifest.json"} <= set(archive.getnames())
    yard.call("podman", "load", "--quiet", "--input", found.archive)
    answer = checked("podman", found.name, X.tolist())
    assert answer["predictions"] == iris_model().predict(X).tolist()


def names(yard: Engines) -> list[str]:
    """What the images are called; one of the same content may have several names."""
    return yard.call("podman", "images", "--format", "{{.Repository}}:{{.Tag}}").split()


def fresh(tmp_path: Path) -> Path:
    folder = tmp_path / "second"
    folder.mkdir()
    return folder


def test_a_build_that_is_killed_leaves_nothing_once_the_next_one_ran(
    home: Store, iris: Built, yard: Engines, tmp_path: Path
) -> None:
    base, name = "localhost/autodeploy-tests-base:2", "localhost/killed:1"
    yard.import_base(base, "ENV ANOTHER=1")  # no layer of another build fits on it
    order = job(home, iris, tmp_path, engine="podman", base=base, tag=name)
    code = "import json, sys; from autodeploy_magic.ship.image.build import run; run(json.load(sys.stdin))"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, start_new_session=True)
    assert process.stdin is not None
    with process.stdin as stream:
        stream.write(json.dumps(order).encode())
    until(lambda: yard.left() or process.poll() is not None, 2 * WAIT_S)
    os.killpg(process.pid, signal.SIGKILL)  # as the supervisor ends a job
    assert process.wait() == -signal.SIGKILL
    until(lambda: not in_group(process.pid))
    assert yard.left() != []  # Podman leaves it where it is killed
    assert yard.call("podman", "images", "--quiet", name, check=False) == ""
    containerize(home, iris, fresh(tmp_path), engine="podman", base=base, tag=name)
    assert yard.left() == []
    names = yard.call("podman", "images", "--format", "{{.Repository}}").split()
    assert not [one for one in names if one.endswith("-base") and "iris" in one]
    yard.call("podman", "rmi", name, base)


def in_group(group: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.Error):
            continue
    return found


def test_a_wrong_answer_is_refused_and_the_image_removed(
    home: Store, iris: Built, yard: Engines, tmp_path: Path
) -> None:
    order = job(home, iris, tmp_path, engine="podman", base=BASE, tag="localhost/wrong:1")
    record = tmp_path / "record"
    shutil.copytree(order["record"], record)
    answers = json.loads((record / "answers.json").read_bytes())
    answers["predictions"][7] = next(name for name in NAMES if name != answers["predictions"][7])
    for row in answers.get("probabilities", [])[7:8]:
        row.reverse()
    (record / "answers.json").write_text(json.dumps(answers))
    # What it is built of is the version as it was: only the proof is asked for something else.
    with pytest.raises(ShipFailed, match=r"localhost/wrong:1 answers otherwise than v1 of iris did") as caught:
        run({**order, "record": str(record)})
    assert 7 in caught.value.details["rows"]
    assert "localhost/wrong:1" not in names(yard)
    assert yard.left() == []
    steps, _ = read((tmp_path / "log").read_bytes())
    assert (steps[-1].step, steps[-1].state) == ("verify", "failed")


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"base": "localhost/not-here:1"}, r"no image localhost/not-here:1|registry of localhost/not-here:1"),
        ({"base": "/nowhere/base.tar"}, r"no archive /nowhere/base.tar"),
        ({"engine": "docker"}, r"docker is not installed|docker does not answer where DOCKER_HOST=unix:///.*/no\.sock"),
        ({"engine": "rm -rf"}, r"not a container engine"),
        ({"base": BASE, "platform": "linux/arm64"}, r"is an image for linux/amd64|cannot be pulled|no image|reached"),
    ],
    ids=["base", "archive", "daemon", "engine", "platform"],
)
def test_what_cannot_be_is_said_before_any_work(
    home: Store,
    iris: Built,
    yard: Engines,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wanted: dict[str, str],
    words: str,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    order = job(home, iris, tmp_path, **{"engine": "podman", "base": BASE, **wanted})
    with pytest.raises(ShipFailed, match=words) as caught:
        run(order)
    assert caught.value.fix
    assert list((tmp_path / "scratch").iterdir()) == []  # nothing was staged


def test_a_name_that_an_image_cannot_have_is_refused(home: Store, iris: Built, yard: Engines, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="cannot name an image"):
        run(job(home, iris, tmp_path, engine="podman", base=BASE, tag="Iris:v1; rm -rf /"))


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_docker_builds_it_and_runs_it(home: Store, iris: Built, yard: Engines, tmp_path: Path) -> None:
    with dockerd(yard.base_tar):
        found = containerize(home, iris, tmp_path, engine="docker", base=BASE)
        assert (found.engine, found.checked, found.rows) == ("docker", "started", len(X))
        assert checked("docker", found.name, X[:5].tolist())["predictions"] == iris_model().predict(X[:5]).tolist()
        left = subprocess.run(["docker", "ps", "-aq"], capture_output=True, text=True, timeout=WAIT_S, check=True)
        assert left.stdout == ""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_bentomls_own_image_is_proved_and_tells_what_is_in_it(
    home: Store, iris: Built, yard: Engines, tmp_path: Path
) -> None:
    try:
        found = containerize(home, iris, tmp_path, engine="podman", flavour="bento", base=full_base(yard), tag=OWN)
    except ShipFailed as error:
        if not NO_PACKAGES.search(error.why):
            raise
        pytest.skip(f"the packages of the Bento cannot be had here: {error.why[-400:]}")
    assert (found.flavour, found.checked, found.rows) == ("bento", "started", len(X))
    serving = Served(yard, OWN)
    try:
        asked = {"json": {"inputs": X.tolist()}, "headers": {"authorization": f"Bearer {TOKEN}"}}
        answer = serving.client.post("/predict", **asked)  # type: ignore[arg-type]
        assert answer.json()["predictions"] == iris_model().predict(X).tolist()
        bill = json.loads(serving.inside("print(open('/app/sbom.cdx.json').read())", python=BENTOS_PYTHON))
        installed = json.loads(serving.inside(INSTALLED, python=BENTOS_PYTHON))
    finally:
        serving.close()
    listed = {one["purl"]: one for one in bill["components"] if one["type"] == "library"}
    assert len(installed) > 30
    assert {f"pkg:pypi/{name}@{number.replace('+', '%2B')}" for name, number in installed} == {
        purl for purl in listed if not purl.startswith("pkg:pypi/autodeploy-magic@")
    }
    assert listed[f"pkg:pypi/bentoml@{dict(installed)['bentoml']}"]["properties"]  # the hash of what it has installed
    assert bill["components"][0]["hashes"][0]["content"] == file_sha256(
        home.folder("iris") / iris.version.model_path / "version.json"
    )
    left = yard.call("podman", "images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert not [name for name in left if "-bento:" in name or "-base:latest" in name]
    assert yard.left() == []
    yard.call("podman", "rmi", OWN)


def test_the_order_is_as_the_supervisor_writes_it(home: Store, iris: Built, tmp_path: Path) -> None:
    order = msgspec.convert(job(home, iris, tmp_path), Job)
    other = msgspec.structs.replace(order, bentoml_home="/elsewhere")
    assert order.reference == "iris:v1"
    assert order.key.startswith("autodeploy-iris-")
    assert order.key != other.key  # another person's deployment of that name
