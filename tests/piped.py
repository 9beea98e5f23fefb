"""A repository with a pipeline of `ship ci`, run on this machine: real scripts, real builds and replays; stand-ins for
the container engine, cosign and kubectl, which note what they are asked; a server that answers as Prometheus does."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from shipments import make_cargo, told

from autodeploy_magic.ship.ci.ci import Pipeline

DIGEST = "sha256:" + "ab" * 32
REPOSITORY = "registry.example.com/team/iris"
BEFORE = f"{REPOSITORY}@sha256:{'cd' * 32}"
IMAGE = f"{REPOSITORY}@{DIGEST}"
LIMIT_S = 120

TRAIN = """\
import autodeploy_magic as ad
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

X, y = load_iris(return_X_y=True)
ad.deploy(LogisticRegression(max_iter=500).fit(X, y), "iris", sample=X, quiet=True)
"""

_NOTED = """\
#!{python} -SE
import json, os, pathlib, sys
TOOL = pathlib.Path(sys.argv[0]).name
STATE = pathlib.Path(os.environ["STAND_INS"])
WORDS = sys.argv[1:]
with (STATE / "calls").open("a") as calls:
    calls.write(json.dumps([TOOL, *WORDS]) + chr(10))
DIGEST = '{digest}'
FAILS = (STATE / "fails").read_text().splitlines() if (STATE / "fails").exists() else []
if any(" ".join([TOOL, *WORDS]).startswith(line) for line in FAILS):
    sys.exit(TOOL + ": it was told to fail")
"""

_AUTODEPLOY = """
if "containerize" in WORDS:
    print(json.dumps({"name": WORDS[WORDS.index("--tag") + 1], "engine": "podman", "archive": "", "digest": ""}))
    sys.exit(0)
os.execv(sys.executable, [sys.executable, "-m", "autodeploy_magic", *WORDS])
"""

_PODMAN = """
if WORDS[0] == "push" and "--digestfile" in WORDS:
    pathlib.Path(WORDS[WORDS.index("--digestfile") + 1]).write_text(os.environ.get("PUSHED", DIGEST))
elif WORDS[0] == "push":
    pathlib.Path(WORDS[2].removeprefix("oci:")).mkdir()
elif WORDS[0] == "create":
    print("c0ffee")
elif WORDS[0] == "cp":
    pathlib.Path(WORDS[2]).write_text('{"bomFormat": "CycloneDX"}')
elif WORDS[0] == "login":
    (STATE / "password").write_text(sys.stdin.read())
"""

_COSIGN = """
if WORDS[0] == "login":
    (STATE / "cosign_password").write_text(sys.stdin.read())
elif WORDS[0] in ("sign", "attest", "verify") and not (STATE / "cosign_password").exists():
    sys.exit("the registry keeps its images to those who have logged in")
"""

_PYTHON = """\
#!/bin/sh
if [ "$1 $2" = "-m pip" ]; then
    printf '["pip", "%s"]\\n' "$3" >>"$STAND_INS/calls"
    exit 0
fi
exec "{python}" "$@"
"""

_KUBECTL = """
FILE = STATE / "cluster.json"
cluster = json.loads(FILE.read_text())
assert WORDS[:2] == ["--namespace", "default"], WORDS
words = WORDS[2:]
def container(image):
    return {"spec": {"containers": [{"name": "side", "image": "x"}, {"name": "model", "image": image}]}}
def replica_set(name, image):
    owner = [{"kind": "Deployment", "name": "iris"}]
    ready = {"readyReplicas": 1} if cluster["ready"] else {}
    about = {"name": name, "ownerReferences": owner}
    return {"metadata": about, "spec": {"template": container(image)}, "status": ready}
if words[:2] == ["get", "deployment"]:
    print(json.dumps({"spec": {"paused": cluster["paused"], "template": container(cluster["image"])}}))
elif words[:2] == ["get", "replicasets"]:
    other = {"metadata": {"name": "other"}, "spec": {"template": container(cluster["image"])}}
    print(json.dumps({"items": [other, *(replica_set(n, i) for n, i in cluster["sets"].items())]}))
elif words[:2] == ["get", "replicaset"]:
    print(json.dumps(replica_set(words[2], cluster["sets"][words[2]])))
elif words[:2] == ["set", "image"]:
    cluster["image"] = words[3].removeprefix("model=")
    if not cluster["paused"] and cluster["image"] not in cluster["sets"].values():
        cluster["sets"]["iris-" + str(len(cluster["sets"]))] = cluster["image"]
elif words[:2] == ["rollout", "pause"]:
    cluster["paused"] = True
elif words[:2] == ["rollout", "resume"]:
    cluster["paused"] = False
elif words[:2] == ["rollout", "status"]:
    assert not cluster["paused"]
else:
    sys.exit("unknown: " + " ".join(words))
FILE.write_text(json.dumps(cluster))
"""

_TOOLS = {
    "autodeploy": _AUTODEPLOY,
    "podman": _PODMAN,
    "python": _PYTHON,
    "kubectl": _KUBECTL,
    "cosign": _COSIGN,
    "pip-audit": "",
}


class Piped:
    """One repository, with its scripts; `state` is what the stand-ins know and note."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.ci = folder / "ci"
        self.out = self.ci / "out"
        self.state = folder.with_name(f"{folder.name}-state")
        self.home = home
        self.state.mkdir()
        tools = self.state / "bin"
        tools.mkdir()
        for name, body in _TOOLS.items():
            (tools / name).write_text(_NOTED.format(python=sys.executable, digest=DIGEST) + body)
            (tools / name).chmod(0o755)
        (tools / "python").write_text(_PYTHON.format(python=sys.executable))
        (tools / "python").chmod(0o755)
        self.cluster(image=BEFORE, paused=False, ready=True, sets={"iris-0": BEFORE})
        self.more: dict[str, str] = {
            "COSIGN_PRIVATE_KEY": "secret-key",
            "REGISTRY_USER": "u",
            "REGISTRY_PASSWORD": "pw-1",
        }

    def cluster(self, **changes: Any) -> dict[str, Any]:
        file = self.state / "cluster.json"
        known: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        if changes:
            file.write_text(json.dumps(known | changes))
        return known | changes

    def commit(self) -> None:
        git = ["git", "-C", str(self.folder), "-c", "user.name=t", "-c", "user.email=t@example.com"]
        for words in (["init", "--quiet"], ["add", "-A"], ["commit", "--quiet", "-m", "all"]):
            subprocess.run([*git, *words], check=True, timeout=LIMIT_S)

    def copy(self, folder: Path) -> Piped:
        """The same as it is now, elsewhere; with stand-ins that know nothing yet."""
        shutil.copytree(self.folder, folder)
        return Piped(folder, self.home)

    def settings(self, **values: str) -> None:
        """Settings that a person changed."""
        with (self.ci / "settings.env").open("a") as file:
            file.writelines(f"{key}={shlex.quote(value)}\n" for key, value in values.items())

    def fail(self, *calls: str) -> None:
        """Stand-ins fail on calls that begin so."""
        (self.state / "fails").write_text("\n".join(calls))

    def calls(self, tool: str) -> list[list[str]]:
        file = self.state / "calls"
        noted = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [words[1:] for words in noted if words[0] == tool]

    def environment(self) -> dict[str, str]:
        tools = self.state / "bin"
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("AUTODEPLOY_HOME")},
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "PYTHON": str(tools / "python"),
            "STAND_INS": str(self.state),
            "AUTODEPLOY_HOME": str(self.home),
            "POLL_S": "0.05",
            **self.more,
        }

    def run(self, command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """One step's command, from the repository's root."""
        return subprocess.run(
            ["sh", "-e", "-c", command],
            cwd=self.folder,
            env=self.environment() | more,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def job(self, steps: list[Mapping[str, Any]]) -> dict[str, subprocess.CompletedProcess[str]]:
        """Run a job of GitHub's as its runner would: after a failure, only what its `if` allows; by name, what ran."""
        done: dict[str, subprocess.CompletedProcess[str]] = {}
        failed = False
        for step in steps:
            when = str(step.get("if", "success()"))
            if "uses" in step or (failed and when == "success()"):
                continue
            if "failure()" in when and not (failed and "ci/canary.sh" in {str(one.args[-1]) for one in done.values()}):
                continue
            result = self.run(str(step["run"]))
            done[str(step["name"])] = result
            failed = failed or result.returncode != 0
        return done


class Prometheus:
    """A server that speaks `/api/v1/query`; `value` gives the value of a query, None where there is no series."""

    def __init__(self, value: Callable[[str], float | None]) -> None:
        self.queries: list[str] = []
        self.tokens: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                query = parse_qs(self.rfile.read(length).decode())["query"][0]
                outer.queries.append(query)
                outer.tokens.append(self.headers.get("authorization", ""))
                found = value(query)
                result = [] if found is None else [{"metric": {}, "value": [0, str(found)]}]
                body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
                self.send_response(200 if self.path == "/api/v1/query" else 404)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def kept(query: str) -> float | None:
    """A canary that keeps what it promises."""
    if "increase(" in query:
        return 500.0
    if "build_info" in query:
        return 1.0
    return 0.02 if "histogram_quantile" in query else 0.0


OPTIONS = {"repository": REPOSITORY, "bake": "1", "prometheus": "http://127.0.0.1:1"}


def write(folder: Path, record: Path, *, system: str, slo: str = "p99<50ms, errors<0.1%", **options: str) -> Path:
    """A pipeline's files in `folder`."""
    target = Pipeline()
    cargo = make_cargo(target, slo=slo, options=OPTIONS | {"system": system} | options, model=record)
    target.refuse(cargo)
    folder.mkdir(exist_ok=True)
    target.write(cargo, folder, told)
    return folder
