"""Writes where an image comes from, as the predicate of SLSA's provenance v1 (slsa.dev/spec/v1.0/provenance)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def main() -> int:
    folder = Path(__file__).parent
    version = json.loads((Path(os.environ["OUT"]) / "version.json").read_text("utf-8"))
    commit = git(folder, "rev-parse", "HEAD")
    source = first("GITHUB_REPOSITORY", "CI_PROJECT_URL", "GIT_URL")
    run = first("GITHUB_RUN_ID", "CI_JOB_URL", "BUILD_URL")
    predicate = {
        "buildDefinition": {
            "buildType": "https://slsa.dev/spec/v1.0/provenance#autodeploy_magic-ship-ci",
            "externalParameters": {"build": os.environ["BUILD"], "deployment": os.environ["DEPLOYMENT"]},
            "internalParameters": {"version": version["number"], "model": version["digest"]},
            "resolvedDependencies": [{"uri": f"git+{source}", "digest": {"gitCommit": commit}}]
            + [{"uri": f"pkg:pypi/{pin.replace('==', '@')}"} for pin in version["environment"]["requirements"]],
        },
        "runDetails": {
            "builder": {"id": first("RUNNER_NAME", "CI_RUNNER_ID", "NODE_NAME") or "unknown"},
            "metadata": {"invocationId": run},
        },
    }
    json.dump(predicate, sys.stdout, indent=2)
    return 0


def first(*names: str) -> str:
    """The first of these variables that is set, as each CI has its own."""
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
