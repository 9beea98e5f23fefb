"""What an engine knows of an image that it has, and the removal of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from autodeploy_magic.ship.image.engines import ENGINES, ask
from autodeploy_magic.ship.image.run import JOB

__all__ = ["Known", "inspect", "remove", "sweep", "tag"]

ASK_S = 60.0


@dataclass(frozen=True)
class Known:
    """An image of an engine. `digest` is its manifest's where the engine keeps one, else that of its configuration."""

    id: str
    digest: str
    size_bytes: int
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    platform: str = ""


def inspect(engine: str, reference: str) -> Known | None:
    """What the engine knows of the image; None where it has none of that name, or cannot be asked."""
    if engine not in ENGINES or not ENGINES[engine].lists:
        return None
    words = ("inspect", "--type", "image") if engine == "buildah" else ("image", "inspect")
    code, output, _ = ask(engine, *words, reference, timeout_s=ASK_S)
    if code:
        return None
    found: Any = msgspec.json.decode(output.encode())
    return _of_buildah(found) if engine == "buildah" else _of_others(found[0])


def tag(engine: str, reference: str, name: str) -> bool:
    """Give an image a further name; whether that worked."""
    return ask(engine, "tag", reference, name, timeout_s=ASK_S)[0] == 0


def remove(engine: str, reference: str) -> None:
    """Take an image away, if it is there; where a container uses it, its name at least."""
    words = ("rmi", reference) if engine == "buildah" else ("image", "rm", reference)
    if ask(engine, *words, timeout_s=ASK_S)[0] and engine != "buildah":
        # By force Podman would remove the containers, too.
        further = ("untag", reference) if engine == "podman" else ("image", "rm", "--force", reference)
        ask(engine, *further, timeout_s=ASK_S)


def sweep(engine: str, job: str) -> None:
    """Remove what a build that was killed has left of `job`: containers of its name or label.

    Podman and Buildah build in a container that is called after the image that it stands on, and leave it where they
    are killed. Docker and containerd tidy up themselves.
    """
    if engine in ("podman", "docker", "nerdctl"):
        _, output, _ = ask(engine, "ps", "--all", "--quiet", "--filter", f"label={JOB}={job}", timeout_s=ASK_S)
        if found := output.split():
            ask(engine, "rm", "--force", *found, timeout_s=ASK_S)
    if engine == "podman":
        _, output, _ = ask(engine, "ps", "--all", "--external", "--quiet", "--filter", f"name={job}", timeout_s=ASK_S)
        for one in output.split():
            ask(engine, "rm", "--force", one, timeout_s=ASK_S)
    if engine == "buildah":
        form = "{{.ContainerID}} {{.ContainerName}}"
        _, output, _ = ask(engine, "containers", "--all", "--noheading", "--format", form, timeout_s=ASK_S)
        for line in output.splitlines():
            container, _, name = line.partition(" ")
            if job in name:
                ask(engine, "rm", container, timeout_s=ASK_S)


def _of_others(found: dict[str, Any]) -> Known:
    """What `image inspect` of Docker, Podman and nerdctl says."""
    config = found.get("Config") or {}
    identity = _digest(str(found.get("Id") or ""))
    repositories = [str(one).rpartition("@")[2] for one in found.get("RepoDigests") or ()]
    return Known(
        id=identity,
        digest=_digest(str(found.get("Digest") or "")) or next(iter(repositories), "") or identity,
        size_bytes=int(found.get("Size") or 0),
        user=str(config.get("User") or ""),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        layers=tuple((found.get("RootFS") or {}).get("Layers") or ()),
        platform=f"{found.get('Os', '')}/{found.get('Architecture', '')}",
    )


def _of_buildah(found: dict[str, Any]) -> Known:
    """What `buildah inspect` says: the image's own documents, as they are."""
    image = found.get("OCIv1") or {}
    config = image.get("config") or {}
    manifest = msgspec.json.decode((found.get("Manifest") or "{}").encode(), type=dict[str, Any])
    return Known(
        id=_digest(str(found.get("FromImageID") or "")),
        digest=_digest(str(found.get("FromImageDigest") or "")),
        size_bytes=sum(int(layer.get("size") or 0) for layer in manifest.get("layers") or ()),
        user=str(config.get("User") or ""),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        layers=tuple((image.get("rootfs") or {}).get("diff_ids") or ()),
        platform=f"{image.get('os', '')}/{image.get('architecture', '')}",
    )


def _digest(text: str) -> str:
    """A digest with its kind: Podman leaves it out of what it calls an id."""
    return text if not text or ":" in text else f"sha256:{text}"
