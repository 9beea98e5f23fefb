"""GitHub's workflow: what is needed of rights is given to the job that needs it, and to no other.

Source: docs.github.com/actions, "Workflow syntax", and "Security hardening for GitHub Actions". The tags of the actions
are pinned to commits by ci/pin.sh: which commits these are is nothing that this package can know.
"""

from __future__ import annotations

from typing import Any

__all__ = ["workflow"]

_CHECKOUT = {"uses": "actions/checkout@v4", "with": {"persist-credentials": False, "fetch-depth": 0}}
_SECRETS = "${{ secrets.%s }}"
_LOGIN = {
    "REGISTRY_USER": "${{ vars.REGISTRY_USER || github.actor }}",
    "REGISTRY_PASSWORD": "${{ secrets.REGISTRY_PASSWORD || secrets.GITHUB_TOKEN }}",
}
"""Of the registry that images are in: an image of ghcr.io is private at first, and its signature as well."""


def workflow(name: str, branch: str, python: str) -> dict[str, Any]:
    """The workflow of one deployment: a pull request is checked, and what is on `branch` is released."""
    return {
        "name": f"deploy {name}",
        "on": {
            "pull_request": {"branches": [branch]},
            "push": {"branches": [branch]},
            "workflow_dispatch": {},
        },
        "permissions": {},
        "concurrency": {"group": f"deploy-{name}-${{{{ github.ref }}}}", "cancel-in-progress": False},
        "defaults": {"run": {"shell": "sh"}},
        "jobs": {
            "check": _check(python, branch),
            "release": _release(python, branch),
            "deploy": _deploy(name, branch),
        },
    }


def _job(about: str, condition: str, minutes: int, permissions: dict[str, str]) -> dict[str, Any]:
    return {
        "name": about,
        "if": condition,
        "runs-on": "ubuntu-24.04",
        "timeout-minutes": minutes,
        "permissions": permissions,
    }


def _python(version: str) -> dict[str, Any]:
    return {"uses": "actions/setup-python@v5", "with": {"python-version": version, "cache": "pip"}}


def _run(script: str, **values: str) -> dict[str, Any]:
    step: dict[str, Any] = {"name": script, "run": f"ci/{script}.sh"}
    return step | ({"env": values} if values else {})


def _proved(python: str) -> list[dict[str, Any]]:
    return [_CHECKOUT, _python(python), *map(_run, ("install", "build", "parity", "scan"))]


def _kept(name: str) -> dict[str, Any]:
    return {
        "name": "keep what was found",
        "if": "always()",
        "uses": "actions/upload-artifact@v4",
        "with": {"name": name, "path": "ci/out/*", "if-no-files-found": "ignore", "retention-days": 30},
    }


def _released(branch: str) -> str:
    """Whether it is the branch itself: a pull request is not, nor is another branch that was started by hand."""
    return f"github.ref == 'refs/heads/{branch}'"


def _check(python: str, branch: str) -> dict[str, Any]:
    job = _job("rebuild, replay, scan", _released(branch).replace("==", "!="), 60, {"contents": "read"})
    return {**job, "steps": [*_proved(python), _kept("check"), {**_run("finish"), "if": "always()"}]}


def _release(python: str, branch: str) -> dict[str, Any]:
    rights = {"contents": "read", "packages": "write", "id-token": "write"}  # push to ghcr.io, and sign as this job
    job = _job("rebuild, prove, push, sign", _released(branch), 90, rights)
    key = {name: _SECRETS % name for name in ("COSIGN_PRIVATE_KEY", "COSIGN_PASSWORD")}
    steps = [
        *_proved(python),
        _run("image", **_LOGIN),
        {"uses": "sigstore/cosign-installer@v3"},
        _run("sign", **_LOGIN, **key),
        _kept("release"),
        {**_run("finish"), "if": "always()"},
    ]
    return {**job, "steps": steps}


def _deploy(name: str, branch: str) -> dict[str, Any]:
    rights = {"contents": "read", "packages": "read"}  # the signature lies in the registry
    job = _job("canary, watch, promote", _released(branch), 120, rights)
    changed = "(failure() || cancelled()) && steps.canary.outcome != 'skipped'"
    return {
        **job,
        "needs": "release",
        "environment": "production",  # its protection rules ask a person for approval, and hold the cluster's secret
        "concurrency": {"group": f"canary-{name}", "cancel-in-progress": False},
        "steps": [
            _CHECKOUT,
            {"uses": "actions/download-artifact@v4", "with": {"name": "release", "path": "ci/out"}},
            {"uses": "sigstore/cosign-installer@v3"},
            _run("cluster", KUBECONFIG_DATA=_SECRETS % "KUBECONFIG_DATA"),
            {
                **_run(
                    "canary",
                    **_LOGIN,
                    COSIGN_PUBLIC_KEY="${{ vars.COSIGN_PUBLIC_KEY }}",
                    SIGNER_IDENTITY="${{ format('^https://github.com/{0}/', github.repository) }}",
                    SIGNER_ISSUER="https://token.actions.githubusercontent.com",
                ),
                "id": "canary",
            },
            _run("watch", PROMETHEUS_TOKEN=_SECRETS % "PROMETHEUS_TOKEN"),
            _run("promote"),
            {**_run("rollback"), "if": changed},
        ],
    }
