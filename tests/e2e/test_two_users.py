"""Two users of one machine: neither reads, calls, lists or replaces what is the other's. Takes two real uids."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from versions import X
from world import WAIT_S, World, until

import autodeploy_magic
from autodeploy_magic import settings, tls
from autodeploy_magic.store import Store, old_tokens_file
from autodeploy_magic.supervisor.client import connect

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(240),
    pytest.mark.skipif(os.getuid() != 0, reason="becoming a second user takes root"),
]

OTHER = "nobody"
TESTS = Path(__file__).parent.parent
NEEDED = ("autodeploy_magic", "msgspec", "sklearn", "onnxruntime", "uvicorn", "bentoml")


@dataclass
class Other:
    """The second user: what runs as them, and where they keep their things."""

    python: str
    folder: Path
    path: str

    def run(self, program: str, *arguments: str) -> Any:
        """Run a program as them; returns what it prints, which is JSON."""
        home = self.folder / "theirs"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": self.path,
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(self.folder),
            "AUTODEPLOY_HOME": str(home),
            "XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"],
        }
        done = subprocess.run(
            [self.python, "-c", program, *arguments],
            user=OTHER,
            group=pwd.getpwnam(OTHER).pw_gid,
            extra_groups=[],
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=WAIT_S * 3,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def common() -> Iterator[Path]:
    """A folder that both can enter, unlike pytest's own: what keeps them apart must be what we do."""
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="two-users-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def other(common: Path) -> Other:
    """The second user, with a Python that they may run and every package that is needed; or a skip that says why."""
    try:
        who = pwd.getpwnam(OTHER)
    except KeyError:
        pytest.skip(f"there is no user {OTHER}")
    folder = common / "home"
    folder.mkdir(mode=0o700)
    os.chown(folder, who.pw_uid, who.pw_gid)
    packages = [entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))]
    checkout = str(Path(autodeploy_magic.__file__).parent.parent)
    path = os.pathsep.join([checkout, str(TESTS), *packages])
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    candidates = [sys.executable, *(f"{place}/{name}" for place in ("/usr/local/bin", "/usr/bin"))]
    reasons = []
    for python in dict.fromkeys(candidates):
        found = Other(python, folder, path)
        try:
            found.run(f"import json, {', '.join(NEEDED)}; print(json.dumps(True))")
        except (OSError, AssertionError, subprocess.TimeoutExpired) as error:
            reasons.append(f"{python}: {str(error).strip().splitlines()[-1]}")
            continue
        return found
    pytest.skip(f"the user {OTHER} cannot run any Python {name} with the packages needed: {'; '.join(reasons)}")


@pytest.fixture
def mine(common: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The first user's deployments, in a folder whose parents are open to everybody."""
    sockets = common / "run"
    sockets.mkdir()
    sockets.chmod(0o1777)  # both keep their own folder in it
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(sockets))
    monkeypatch.setenv("AUTODEPLOY_HOME", str(common / "mine"))
    monkeypatch.setenv("AUTODEPLOY_DRAIN_S", "0.2")
    settings.reset()
    store = Store()
    world = World(store, connect(store))
    yield world
    world.end()


INTRUDE = """
import errno, json, os, socket, sys, http.client
told = {}
for path in json.loads(sys.argv[1]):
    try:
        if os.path.basename(path).endswith(".sock"):
            with socket.socket(socket.AF_UNIX) as end:
                end.connect(path)
        elif os.path.basename(path) in ("mine", "deployments") or path.endswith("/iris"):
            os.listdir(path)
        else:
            open(path, "rb").read()
        told[path] = "got in"
    except OSError as error:
        told[path] = errno.errorcode[error.errno]
for path in json.loads(sys.argv[2]):
    try:
        open(path, "wb")
        told["write " + path] = "got in"
    except OSError as error:
        told["write " + path] = errno.errorcode[error.errno]
told["said"] = []
for pid in json.loads(sys.argv[3]):
    for file in ("cmdline", "environ"):
        try:
            told["said"].append(open(f"/proc/{pid}/{file}", "rb").read().decode("latin-1"))
        except OSError:
            pass
    try:
        os.kill(pid, 0)
        told["signal"] = "got in"
    except OSError as error:
        told["signal"] = errno.errorcode[error.errno]
print(json.dumps(told))
"""


def test_the_other_user_reads_and_reaches_nothing_of_mine(mine: World, other: Other) -> None:
    mine.serve(number := mine.version())
    mine.predict()
    until(mine.store.metrics_file("iris").exists)
    mine.serve(number, tls=tls.AUTO)
    mine.store.rotate_token("iris", grace_s=600)
    status = mine.supervisor.status("iris")
    pids = [mine.pid(), *(worker.pid for worker in status.workers)]
    token, folder = mine.store.token_file("iris"), mine.store.folder("iris")
    sockets = list(mine.store.runtime_dir.iterdir())
    assert {"supervisor.sock", f"worker-{status.workers[0].pid}.sock"} <= {path.name for path in sockets}
    paths = [
        *(mine.store.home, mine.store.home / "deployments", folder),
        *(token, old_tokens_file(token), folder / "deployment.json", folder / "runtime.json"),
        *(mine.store.log_file("iris"), mine.store.metrics_file("iris"), *tls.made_files(mine.store.tls_folder("iris"))),
        *(mine.store.version_folder("iris", 1) / "version.json", mine.store.supervisor_file, mine.store.supervisor_log),
        *sockets,
    ]
    assert all(path.exists() for path in paths)
    planted = [folder / "token", mine.store.home / "planted", mine.store.runtime_dir / "supervisor.sock"]
    told = other.run(INTRUDE, *(json.dumps(list(map(str, part))) for part in (paths, planted)), json.dumps(pids))
    said = told.pop("said")
    assert len(told) == len(paths) + len(planted) + 1
    assert set(told.values()) <= {"EACCES", "EPERM"}, told
    supervisor = json.loads(mine.store.supervisor_file.read_text())
    for secret in (*mine.store.tokens("iris"), supervisor["token"]):
        assert not any(secret in text for text in said)


CALL = """
import json, ssl, sys, urllib.error, urllib.request
told = []
for headers in json.loads(sys.argv[2]):
    request = urllib.request.Request(sys.argv[1] + "/predict", b'{"inputs": [[1, 2, 3, 4]]}', headers)
    try:
        told.append(urllib.request.urlopen(request, timeout=20).status)
    except urllib.error.HTTPError as error:
        told.append(error.code)
print(json.dumps(told))
"""


def test_the_other_user_cannot_call_mine_without_its_token(mine: World, other: Other) -> None:
    url = mine.serve(mine.version()).url
    kind = {"content-type": "application/json"}
    tries = [kind, kind | {"authorization": "Bearer "}, kind | {"authorization": "Bearer x"}, kind | mine.headers()]
    assert other.run(CALL, url, json.dumps(tries)) == [401, 401, 401, 200]


LIVE = """
import json, sys
from versions import X
from world import World
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect
store = Store()
world = World(store, connect(store))
told = {"listed": [status.name for status in world.supervisor.list()], "pid": world.pid()}
world.version()
status = world.serve(world.version(c=1e-4))
told |= {"url": status.url, "token": store.token("iris"), "version": world.predict().json()["version"]}
told["pids"] = [worker.pid for worker in status.workers]
print(json.dumps(told))
"""
LEAVE = """
import json
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect
connect(Store(), start=False).shutdown(stop_deployments=True)
print(json.dumps(True))
"""


def test_the_same_name_is_another_deployment_for_the_other_user(mine: World, other: Other) -> None:
    status = mine.serve(mine.version())
    theirs = other.run(LIVE)
    try:
        assert theirs["listed"] == []
        assert theirs["pid"] != mine.pid()
        assert [status.name for status in mine.supervisor.list()] == ["iris"]
        assert theirs["url"] != status.url
        assert theirs["token"] != mine.store.token("iris")
        for pid in (theirs["pid"], *theirs["pids"]):
            assert psutil.Process(pid).username() == OTHER
        assert _answers(theirs["url"], mine.store.token("iris")) == 401
        assert _answers(status.url, theirs["token"]) == 401
        assert _answers(theirs["url"], theirs["token"]) == 200
        assert (mine.predict().json()["version"], theirs["version"]) == (1, 2), "each answers with its own model"
    finally:
        other.run(LEAVE)
    until(lambda: not any(psutil.pid_exists(pid) for pid in (theirs["pid"], *theirs["pids"])))
    assert mine.predict().status_code == 200


def _answers(url: str, token: str) -> int:
    body = {"inputs": X[:1].tolist()}
    return httpx.post(
        f"{url}/predict", json=body, headers={"authorization": f"Bearer {token}"}, timeout=WAIT_S
    ).status_code
