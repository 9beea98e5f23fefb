"""The command that runs an image on this machine: read-only, without rights, and without secrets in its words.

The same is used to prove an image, to serve from one, and in what a person is told to type.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autodeploy_magic.shipping import PORT

__all__ = ["GUARDED", "JOB", "Container", "command", "shown"]

GUARDED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")  # noqa: S108
"""How every image of ours can run: nothing of it can be written but /tmp, which is memory, and it has no rights."""

JOB = "autodeploy_magic.job"
"""The label of containers that are there for a while, by which those that were left are found."""


@dataclass(frozen=True, kw_only=True)
class Container:
    """How an image is to run. `words` are the arguments of its entry ("check"); none for serving.

    `publish` is where its port is reached on this machine ("127.0.0.1:3000"), "" for nowhere. `environment` has plain
    values; `handed` are variables that the engine takes from its own environment, so that a secret is in no command
    line. `mounts` are (folder here, folder there, "ro" or "rw"). `network` is "" for the engine's own. `detached`
    leaves it running, and prints its id; `interactive` hands it our input. `watched` has the engine ask how
    it is (HEALTHCHECK). `entrypoint` is a program in place of the image's own entry.
    """

    engine: str
    image: str
    name: str = ""
    words: tuple[str, ...] = ()
    publish: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    handed: tuple[str, ...] = ()
    mounts: tuple[tuple[str, str, str], ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    network: str = ""
    entrypoint: str = ""
    user: str = ""
    userns: str = ""
    interactive: bool = False
    detached: bool = False
    watched: bool = True
    platform: str = ""


def command(container: Container) -> list[str]:
    """The words that run it, each as it is: no shell reads them."""
    words = [container.engine, "run", "--rm"]
    words += ["--interactive"] if container.interactive else []
    words += ["--detach"] if container.detached else []
    words += ["--no-healthcheck"] if not container.watched and container.engine in ("podman", "docker") else []
    for name in ("name", "network", "entrypoint", "user", "platform", "userns"):
        if value := getattr(container, name):
            words += [f"--{name}", value]
    words += GUARDED
    if container.mounts and Path("/sys/fs/selinux/enforce").exists():
        words += ["--security-opt", "label=disable"]  # what is mounted keeps the label that it has here
    for name, value in container.labels.items():
        words += ["--label", f"{name}={value}"]
    if container.publish:
        words += ["--publish", f"{container.publish}:{PORT}"]
    for name, value in container.environment.items():
        words += ["--env", f"{name}={value}"]
    for name in container.handed:
        words += ["--env", name]
    for here, there, mode in container.mounts:
        words += ["--volume", f"{here}:{there}:{mode}"]
    return [*words, container.image, *container.words]


def shown(engine: str, image: str, archive: str = "") -> tuple[str, ...]:
    """The same for a person who wants to try the image: lines for a shell, with a token that is made there.

    What is in an archive is loaded first.
    """
    container = Container(
        engine=engine, image=image, publish=f"127.0.0.1:{PORT}", handed=("AUTODEPLOY_TOKEN",), detached=True
    )
    return (
        *((shlex.join([engine, "load", "--input", archive]),) if archive else ()),
        "export AUTODEPLOY_TOKEN=$(openssl rand -hex 24)",
        shlex.join(command(container)),
        # A rootless engine takes a connection before the image does, and resets it then: that is no refusal.
        f'curl --retry 9 --retry-all-errors -H "Authorization: Bearer $AUTODEPLOY_TOKEN" http://127.0.0.1:{PORT}/v2',
    )
