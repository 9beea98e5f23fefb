"""Begins a rolling update of a Kubernetes Deployment, and pauses it when its first new pod is there and ready.

out/before.env gets the image that served before anything is changed; out/match the matchers of the new pods' series.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

POLL_S = float(os.environ.get("POLL_S", "2"))


def main() -> int:
    image = sys.argv[1]
    out = Path(os.environ["OUT"])
    name, container = os.environ["KUBE_DEPLOYMENT"], os.environ["CONTAINER"]
    deadline = time.monotonic() + float(os.environ["READY_S"])
    deployment = get("deployment", name)
    if deployment["spec"].get("paused"):
        return say(f"deployment/{name} is paused: another canary is under way, or was left; ci/rollback.sh ends it")
    containers = deployment["spec"]["template"]["spec"]["containers"]
    before = next((one["image"] for one in containers if one["name"] == container), None)
    if before is None:
        return say(f"deployment/{name} has no container {container!r}: set CONTAINER in ci/settings.env")
    if before == image:
        return say(f"deployment/{name} serves {image} already")
    (out / "before.env").write_text(f"BEFORE={shlex.quote(before)}\n", "utf-8")
    kubectl("set", "image", f"deployment/{name}", f"{container}={image}")
    sets = wait_for(lambda: [one for one in replica_sets(name) if image in images(one)], deadline)
    kubectl("rollout", "pause", f"deployment/{name}")
    if not sets:
        return say("no replica set of the new image was made")
    of = str(sets[0]["metadata"]["name"])
    if not wait_for(lambda: get("replicaset", of).get("status", {}).get("readyReplicas", 0) >= 1, deadline):
        return say(f"no pod of {of} was ready within READY_S={os.environ['READY_S']} seconds")
    (out / "match").write_text(f'namespace={json.dumps(namespace())}, pod=~"{of}-.+"\n', "utf-8")
    return 0


def namespace() -> str:
    return os.environ["NAMESPACE"]


def kubectl(*words: str) -> str:
    done = subprocess.run(["kubectl", "--namespace", namespace(), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(f"canary: kubectl {' '.join(words)}: {done.stderr}")
        raise SystemExit(1)
    return done.stdout


def get(*words: str) -> dict[str, Any]:
    return dict(json.loads(kubectl("get", *words, "--output", "json")))


def replica_sets(deployment: str) -> list[dict[str, Any]]:
    """Those that belong to the Deployment."""
    return [
        one
        for one in get("replicasets")["items"]
        if any(owner["name"] == deployment for owner in one["metadata"].get("ownerReferences", ()))
    ]


def images(replica_set: dict[str, Any]) -> list[str]:
    return [one["image"] for one in replica_set["spec"]["template"]["spec"]["containers"]]


def wait_for(found: Any, deadline: float) -> Any:
    """What `found` gives as soon as it gives something; nothing where it does not until the deadline."""
    while not (got := found()) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return got


def say(why: str) -> int:
    sys.stderr.write(f"canary: {why}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
