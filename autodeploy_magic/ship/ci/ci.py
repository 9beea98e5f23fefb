"""The target `ci`: a pipeline for GitHub, GitLab or Jenkins, and the scripts that it runs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from autodeploy_magic import __version__
from autodeploy_magic.contracts import Progress, Report
from autodeploy_magic.errors import InvalidOption, ShipFailed
from autodeploy_magic.ship.base import Cargo, Choice, Written
from autodeploy_magic.ship.ci.github import workflow
from autodeploy_magic.ship.ci.gitlab import pipeline
from autodeploy_magic.ship.ci.words import readme
from autodeploy_magic.ship.rules import UNSEEN, objectives, slo_notes, value_of
from autodeploy_magic.ship.text import check_namespace, check_reference, check_text, env_file, holds_secret, yaml_of
from autodeploy_magic.slo import METRICS

__all__ = ["Pipeline"]

SYSTEMS = ("github", "gitlab", "jenkins")
SCRIPTS = Path(__file__).parent / "scripts"
_OF_ONE = {"Jenkinsfile": "jenkins", "released.sh": "jenkins", "pin.sh": "github"}
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[A-Za-z0-9,._-]+\])?==[A-Za-z0-9.!+_-]+")


class Pipeline:
    """A pipeline for GitHub, GitLab or Jenkins that rebuilds, proves, signs and deploys by canary; its scripts."""

    choices = (
        Choice("system", "whose pipeline it is", "", SYSTEMS),
        Choice("build", "the command that trains and deploys in the repository", "python train.py"),
        Choice("branch", "the branch that is released", "main"),
        Choice("repository", "where images are pushed: ghcr.io/team/iris; default that of the image", ""),
        Choice("engine", "what builds images there; default the first that is installed", ""),
        Choice("namespace", "the namespace in the cluster", "default"),
        Choice("prometheus", "the address of the Prometheus that watches the cluster", ""),
        Choice("bake", "seconds that the canary is watched", 600),
        Choice("requests", "the least requests that prove a canary", 50),
        Choice("agreement", "the share of rows whose answers have to be the same after a rebuild", 0.99),
        Choice("tolerance", "how far numbers may differ, of their spread", 0.001),
        Choice("rows", "how many rows of the sample go into the repository; 0 for none", 100),
        Choice("hook", "a program that deploys in place of kubectl", ""),
    )

    def refuse(self, cargo: Cargo) -> None:
        if not cargo.text("system"):
            raise InvalidOption("it is not said whose pipeline it is", fix="use --github, --gitlab or --jenkins")
        _repository(cargo)
        check_namespace(cargo.text("namespace"))
        branch = cargo.text("branch")
        if not _BRANCH.fullmatch(branch) or ".." in branch or branch.endswith((".lock", ".")):
            raise InvalidOption(f"{branch!r} cannot name the branch that is released", fix="use one such as main")
        for name in ("build", "hook", "engine"):
            check_text(cargo.text(name), name)
        if not cargo.text("build").strip():
            raise InvalidOption("build is empty", fix="use a command such as 'python train.py'")
        if cargo.text("engine") not in ("", "docker", "podman", "nerdctl", "buildah", "archive"):
            raise InvalidOption(
                f"engine cannot be {cargo.text('engine')!r}", fix="use docker, podman, nerdctl, buildah or archive"
            )
        _address(cargo.text("prometheus"))
        _numbers(cargo)

    def write(self, cargo: Cargo, folder: Path, report: Report) -> Written:
        system = cargo.text("system")
        report(Progress(step=system, state="started"))
        scripts = folder / "ci"
        scripts.mkdir()
        for source in sorted(SCRIPTS.iterdir()):
            if source.is_file() and source.name != "__init__.py" and _OF_ONE.get(source.name, system) == system:
                copy = (folder if source.name == "Jenkinsfile" else scripts) / source.name
                shutil.copyfile(source, copy)
                copy.chmod(0o755 if source.suffix == ".sh" else 0o644)
        notes = [*_secrets_asked(cargo), *slo_notes(cargo), *_reference(cargo, scripts)]
        python = ".".join(cargo.version.environment.python.split(".")[:2])
        branch = cargo.text("branch")
        if system == "github":
            place = folder / ".github/workflows"
            place.mkdir(parents=True)
            (place / f"deploy-{cargo.name}.yaml").write_text(
                yaml_of(workflow(cargo.name, branch, python), head="Actions are named by tags: ci/pin.sh pins them."),
                "utf-8",
            )
        elif system == "gitlab":
            (folder / ".gitlab-ci.yml").write_text(yaml_of(pipeline(cargo.name, branch, python)), "utf-8")
        (scripts / "settings.env").write_text(env_file(_settings(cargo)), "utf-8")
        (scripts / "slo.json").write_text(json.dumps(_promises(cargo), indent=2) + "\n", "utf-8")
        (scripts / "requirements.txt").write_text(_requirements(cargo), "utf-8")
        (scripts / ".gitignore").write_text("out/\n.kubeconfig\n__pycache__/\n", "utf-8")
        (scripts / "README.md").write_text(readme(cargo.name, cargo.version.number, system, tuple(notes)), "utf-8")
        report(Progress(step=system, state="done"))
        return Written(notes=tuple(notes), next=_next(system))


def _next(system: str) -> tuple[str, ...]:
    copied = ("cp -R THIS_FOLDER/. YOUR_REPOSITORY/", "cd YOUR_REPOSITORY")
    pinned = ("sh ci/pin.sh",) if system == "github" else ()
    return (*copied, *pinned, "ci/build.sh && ci/parity.sh && ci/scan.sh && ci/finish.sh", "git add -A && git commit")


def _repository(cargo: Cargo) -> str:
    """Where images are pushed: a reference with a host, and without tag and digest."""
    typed = cargo.text("repository")
    name = check_reference(typed) if typed else cargo.reference
    name = name.partition("@")[0]
    host, slash, path = name.partition("/")
    if not slash or not ("." in host or ":" in host):  # podman calls its own images localhost/…
        raise ShipFailed(
            f"it is not known where the images of {cargo.name} are pushed",
            why=f"{name!r} names no registry" if name else "no image of it was built, and no registry named",
            fix=f"--set repository=ghcr.io/YOU/{cargo.name}",
        )
    if typed and (":" in path or "@" in typed):
        raise InvalidOption(
            f"repository={typed} has a tag",
            why="each commit has one of its own",
            fix=f"use {host}/{path.split(':')[0]}",
        )
    return f"{host}/{path.partition(':')[0]}"


def _address(url: str) -> None:
    if not url:
        return
    check_text(url, "prometheus")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or " " in url:
        raise InvalidOption(f"{url!r} is no address", fix="use one such as http://prometheus.monitoring:9090")
    if holds_secret(url):
        raise InvalidOption(
            "the address of Prometheus holds a password or a key",
            why="it would stand in the repository",
            fix="leave it out, and put PROMETHEUS_TOKEN into the CI's secret store",
        )


def _numbers(cargo: Cargo) -> None:
    bounds = {
        "bake": (1, 86_400),
        "requests": (0, 10**9),
        "agreement": (0, 1),
        "tolerance": (0, 1),
        "rows": (0, 10_000),
    }
    for name, (least, most) in bounds.items():
        value = cargo.options[name]
        if not least <= float(value) <= most:
            raise InvalidOption(f"{name}={value} cannot be", fix=f"use a number from {least} to {most}")


def _settings(cargo: Cargo) -> dict[str, str]:
    bake = cargo.number("bake")
    return {
        "DEPLOYMENT": cargo.name,
        "BUILD": cargo.text("build"),
        "RELEASE_BRANCH": cargo.text("branch"),
        "PARITY_AGREEMENT": str(cargo.options["agreement"]),
        "PARITY_TOLERANCE": str(cargo.options["tolerance"]),
        "IMAGE_REPOSITORY": _repository(cargo),
        "ENGINE": cargo.text("engine"),
        "SIGNING": "key" if cargo.text("system") == "jenkins" else "keyless",
        "NAMESPACE": cargo.text("namespace"),
        "KUBE_DEPLOYMENT": cargo.name,
        "CONTAINER": "model",
        "READY_S": "300",
        "PROMETHEUS_URL": cargo.text("prometheus"),
        "BAKE_S": str(bake),
        "WATCH_EVERY_S": str(max(1, min(15, bake // 10))),
        "LEAST_REQUESTS": str(cargo.number("requests")),
        "DEPLOY_HOOK": cargo.text("hook"),
    }


def _promises(cargo: Cargo) -> dict[str, Any]:
    """What watch.py asks for; @MATCH@ and @WINDOW@ are put in there."""
    seen = [one for one in objectives(cargo.desired) if one.metric not in UNSEEN | {"disk_free"}]
    match = f'deployment="{cargo.name}", @MATCH@'
    return {
        "requests": f"sum(increase(autodeploy_requests_total{{{match}}}[@WINDOW@]))",
        "up": f"count(autodeploy_build_info{{{match}}})",
        "promises": [
            {
                "text": one.text,
                "query": value_of(one, match, "@WINDOW@"),
                "op": one.op,
                "limit": one.limit,
                "needed": METRICS[one.metric].budget,  # what processes take is not measured everywhere
            }
            for one in seen
        ],
    }


def _requirements(cargo: Cargo) -> str:
    pins = [pin for pin in cargo.version.environment.requirements if _PIN.fullmatch(pin)]
    theirs = [pin for pin in pins if not re.match(r"autodeploy[-_.]magic\b", pin, re.IGNORECASE)]
    return "\n".join([f"autodeploy_magic=={__version__}", *theirs]) + "\n"


def _reference(cargo: Cargo, scripts: Path) -> list[str]:
    """Write the rows and answers that a rebuild is held to; returns what is good to know of them."""
    rows = cargo.number("rows")
    sample = cargo.record / "sample.json"
    kept = (cargo.record / "answers.json", cargo.record / "expected.json")
    answers = next((file for file in kept if file.exists()), None)
    if not rows:
        return ["no rows of the sample are in the repository: a rebuild is held to its own sample alone"]
    if not sample.exists() or answers is None:
        return ["the version's sample is not kept: a rebuild is held to its own sample alone"]
    inputs = msgspec.json.decode(sample.read_bytes())["inputs"]
    predictions = msgspec.json.decode(answers.read_bytes())["predictions"]
    predicted = next((one for one in cargo.version.outputs if one.name == "predictions"), None)
    if predicted is None or not predicted.per_row or not isinstance(predictions, list):
        return ["its answers are not one for each row: a rebuild is held to its own sample alone"]
    place = scripts / "reference"
    place.mkdir()
    for name, value in (
        ("sample", {"inputs": _first(inputs, rows)}),
        ("answers", {"predictions": predictions[:rows]}),
    ):
        (place / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")
    count = min(rows, len(predictions))
    return [
        f"ci/reference holds {count} rows of the sample: look whether they may stand in the repository (rows=0: none)"
    ]


def _first(inputs: Any, rows: int) -> Any:
    """The first rows of a request's inputs: a list of rows or of records, or columns by name."""
    return {name: values[:rows] for name, values in inputs.items()} if isinstance(inputs, dict) else inputs[:rows]


def _secrets_asked(cargo: Cargo) -> list[str]:
    notes = []
    if not cargo.text("prometheus"):
        notes.append("PROMETHEUS_URL is empty in ci/settings.env: a canary that nobody watches is not promoted")
    if cargo.text("system") == "jenkins":
        notes.append("Jenkins signs with a key: put cosign-key and cosign-password into its credentials")
    return notes
