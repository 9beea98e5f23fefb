"""GitLab's pipeline. Source: docs.gitlab.com/ci/yaml.

The job that pushes and signs runs on what is released alone, and its identity is its own (`id_tokens`).
"""

from __future__ import annotations

from typing import Any

__all__ = ["pipeline"]

_RELEASED = [{"if": "$CI_COMMIT_BRANCH == $RELEASE_BRANCH"}]
_ASKED = [{"if": '$CI_PIPELINE_SOURCE == "merge_request_event"'}]


def pipeline(name: str, branch: str, python: str) -> dict[str, Any]:
    """The pipeline of one deployment: a merge request is checked, and what is on `branch` is released."""
    return {
        "stages": ["prove", "deploy"],
        "variables": {"RELEASE_BRANCH": branch, "GIT_DEPTH": "0", "PIP_CACHE_DIR": "$CI_PROJECT_DIR/.cache/pip"},
        "default": {"image": f"docker.io/library/python:{python}-bookworm", "interruptible": False},
        "workflow": {"rules": [*_ASKED, *_RELEASED]},
        "check": {
            "stage": "prove",
            "rules": _ASKED,
            "cache": {"key": f"pip-{name}", "paths": [".cache/pip"]},
            "script": _steps("install", "build", "parity", "scan"),
            "after_script": _steps("finish"),
            "artifacts": _kept(),
            "timeout": "1h",
        },
        "release": {
            "stage": "prove",
            "rules": _RELEASED,
            "cache": {"key": f"pip-{name}", "paths": [".cache/pip"]},
            "id_tokens": {"SIGSTORE_ID_TOKEN": {"aud": "sigstore"}},
            "script": _steps("install", "build", "parity", "scan", "image", "sign"),
            "after_script": _steps("finish"),
            "artifacts": _kept(),
            "timeout": "1h 30m",
        },
        "deploy": {
            "stage": "deploy",
            "needs": [{"job": "release", "artifacts": True}],
            "rules": [{**_RELEASED[0], "when": "manual"}],
            "environment": {"name": "production", "deployment_tier": "production"},
            "resource_group": f"production-{name}",
            "script": _steps("cluster", "canary", "watch", "promote"),
            "after_script": ['if [ "$CI_JOB_STATUS" != success ]; then ci/rollback.sh; fi', "ci/finish.sh"],
            "timeout": "2h",
        },
    }


def _steps(*scripts: str) -> list[str]:
    return [f"ci/{script}.sh" for script in scripts]


def _kept() -> dict[str, Any]:
    return {"when": "always", "paths": ["ci/out/"], "expire_in": "30 days"}
