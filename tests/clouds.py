"""What the tests of managed places share: values that would do harm, written folders, stand-ins for clouds' tools."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autodeploy_magic.registry import TARGETS
from autodeploy_magic.ship.base import Cargo

__all__ = ["DIGEST", "ECR", "NASTY", "PLACES", "ROLE", "TOOL", "Folder", "Tools"]

PLACES = [name for name, where in TARGETS.items() if ".ship.cloud." in where]
DIGEST = "sha256:" + "ab" * 32
ECR = f"111122223333.dkr.ecr.eu-central-1.amazonaws.com/iris@{DIGEST}"
ROLE = "arn:aws:iam::111122223333:role/team/serving+1"
NASTY = [
    "a b",
    "a'b",
    'a"b',
    "$(touch pwned)",
    "`touch pwned`",
    "../../etc/passwd",
    "a\nb: c",
    "{{ x }}",
    "a;touch pwned",
    "a|b&c",
    "%s\\n",
    "-x",
    "ünï",
]


@dataclass
class Folder:
    """What a target wrote."""

    place: str
    path: Path
    cargo: Cargo
    notes: tuple[str, ...] = ()
    next: tuple[str, ...] = ()

    def text(self, name: str) -> str:
        return (self.path / name).read_text("utf-8")

    def yaml(self, name: str) -> Any:
        import yaml

        return yaml.safe_load(self.text(name))

    def json(self, name: str) -> Any:
        return json.loads(self.text(name))

    def scripts(self) -> list[Path]:
        return sorted(self.path.glob("*.sh"))


TOOL = """#!{python} -ISs
import fcntl, json, os, re, sys
tool, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
folder = {folder!r}
piped = sys.stdin.read() if "--password-stdin" in arguments else ""
lock = open(folder + "/lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)  # both ends of a pipe run at once
state = json.load(open(folder + "/state.json"))
shown = {{}}
for one in arguments:
    for part in re.findall(r"file://(/[^ ]+[.]json)|^(/[^ ]+[.]yaml)$", one):
        path = part[0] or part[1]
        shown[os.path.basename(path)] = open(path).read()
state["calls"].append([tool, *arguments])
state["piped"].append(piped)
state["files"].update(shown)
code, out = 0, ""
if len(state["calls"]) == state["fail_at"]:
    code, out = 1, ""
    sys.stderr.write("it broke\\n")
else:
    line = " ".join([tool, *arguments])
    for rule in state["rules"]:
        if re.search(rule["match"], line) and all(state["flags"].get(k, "") == v for k, v in rule["when"].items()):
            code, out = rule["code"], rule["out"]
            state["flags"].update(rule["sets"])
            break
with open(folder + "/state.json", "w") as stream:
    json.dump(state, stream)
sys.stdout.write(out)
sys.exit(code)
"""


@dataclass
class Tools:
    """Commands on a PATH of their own that write down how they are called, and answer by rules."""

    path: Path
    rules: list[dict[str, Any]] = field(default_factory=list)
    fail_at: int = 0

    def install(self, *names: str) -> None:
        for name in names:
            (self.path / "bin" / name).symlink_to(self.path / "tool")

    def __post_init__(self) -> None:
        """Nothing but what a bare system has: a real command of a cloud is never found, whoever runs the tests."""
        (self.path / "bin").mkdir(parents=True)
        (self.path / "tmp").mkdir()
        (self.path / "tool").write_text(TOOL.format(python=sys.executable, folder=str(self.path)))
        (self.path / "tool").chmod(0o755)
        for name in ("awk", "cat", "cksum", "cut", "dirname", "grep", "mktemp", "rm", "sed"):
            found = shutil.which(name)
            assert found is not None, name
            (self.path / "bin" / name).symlink_to(found)
        self.reset()

    def rule(self, match: str, out: str = "", *, code: int = 0, when: Any = None, sets: Any = None) -> None:
        """The first rule that matches answers; `when` are flags as they have to be, `sets` what they become."""
        self.rules.append({"match": match, "out": out, "code": code, "when": when or {}, "sets": sets or {}})

    def reset(self, **flags: str) -> None:
        state = {
            "calls": [],
            "piped": [],
            "files": {},
            "flags": flags,
            "rules": self.rules,
            "fail_at": self.fail_at,
        }
        (self.path / "state.json").write_text(json.dumps(state))

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path / "state.json").read_text())
        return found

    @property
    def calls(self) -> list[list[str]]:
        found: list[list[str]] = self.state()["calls"]
        return found

    def forget(self) -> None:
        """Forget the calls; what they did stays."""
        state = {**self.state(), "calls": [], "piped": [], "fail_at": self.fail_at}
        (self.path / "state.json").write_text(json.dumps(state))

    def run(self, folder: Folder, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script of the folder from elsewhere."""
        given = {
            "PATH": str(self.path / "bin"),
            "TMPDIR": str(self.path / "tmp"),
            "HOME": str(self.path),
            **environment,
        }
        return subprocess.run(
            ["/bin/sh", str(folder.path / script)],
            capture_output=True,
            text=True,
            env=given,
            cwd=self.path,
            timeout=60,
            check=False,
        )
