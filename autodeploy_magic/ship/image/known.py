"""What an engine knows of an image that it has, and the removal of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from autodeploy_magic.ship.image.engines import ENGINES, ask
from autodeploy_magic.ship.image.run import JOB

__all__ = ["Known", "clear", "inspect", "nameless", "remove", "sweep", "tag"]

ASK_S = 60.0
_LIKE_PODMAN = {
    "podman": ("ps", "--all", "--external", "--no-trunc", "--format", "{{.ID}} {{.ImageID}} {{.Names}}"),
    "buildah": (
        *("containers", "--all", "--noheading", "--notruncate"),
        *("--format", "{{.ContainerID}} {{.ImageID}} {{.ContainerName}}"),
    ),
}
"""What lists the containers of those that build in containers: container, image, name."""


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

    def is_for(self, platform: str) -> bool:
        """Whether it is for machines such as "linux/arm64", in whatever variant ("linux/arm64/v8")."""
        return self.platform == platform or self.platform.startswith(f"{platform}/")


def inspect(engine: str, reference: str) -> Known | None:
    """What the engine knows of the image; None where it has none of that name, or cannot be asked."""
    if engine not in ENGINES or not ENGINES[engine].lists:
        return None
    words = ("inspect", "--type", "image") if engine == "buildah" else ("image", "inspect")
    code, output, _ = ask(engine, *words, reference, timeout_s=ASK_S)
    if code:
        return None
    try:
        found: Any = msgspec.json.decode(output.encode())
        return _of_buildah(found) if engine == "buildah" else _of_others(found[0])
    except (msgspec.DecodeError, LookupError, AttributeError, TypeError):
        return None  # nothing that an engine says of an image


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


def nameless(engine: str) -> list[str]:
    """The ids of the images that have no name, and that no other stands on."""
    _, output, _ = ask(engine, "images", "--quiet", "--no-trunc", "--filter", "dangling=true", timeout_s=ASK_S)
    return list(dict.fromkeys(map(_digest, output.split())))


def sweep(engine: str, job: str) -> None:
    """Remove what a build that was killed has left of `job`: containers of its name or label.

    Podman and Buildah build in a container that is called after the image that it stands on, or by the id of the step
    before, and leave it where they are killed. Docker and containerd tidy up themselves.
    """
    if engine in ("podman", "docker", "nerdctl"):
        _, output, _ = ask(engine, "ps", "--all", "--quiet", "--filter", f"label={JOB}={job}", timeout_s=ASK_S)
        if found := output.split():
            ask(engine, "rm", "--force", *found, timeout_s=ASK_S)
    if engine not in _LIKE_PODMAN:
        return
    _, output, _ = ask(engine, *_LIKE_PODMAN[engine], timeout_s=ASK_S)
    for line in output.splitlines():
        container, image, name = (*line.split(maxsplit=2), "", "", "")[:3]
        if job in name or (name.startswith(f"{image[:12]}-working") and _stands_on(engine, image, job)):
            ask(engine, "rm", *(["--force"] if engine == "podman" else []), container, timeout_s=ASK_S)


def _stands_on(engine: str, image: str, job: str) -> bool:
    """Whether an image, or one that is left of a step, was built by `job`: what it stands on is called after that."""
    words = ("inspect", "--type", "image") if engine == "buildah" else ("image", "inspect")
    return f"FROM localhost/{job}-" in ask(engine, *words, image, timeout_s=ASK_S)[1]


def clear(engine: str, job: str) -> None:
    """Remove what a build of `job` that was broken off has left: containers, and the images that it had for a while.

    Podman and Buildah keep an image for each step that was through. Those say what they stand on, which is called after
    the job; one that others stand on stays.
    """
    sweep(engine, job)
    if engine not in _LIKE_PODMAN:
        return
    for image in nameless(engine):
        if _stands_on(engine, image, job):
            remove(engine, image)
    for name in (f"localhost/{job}-base:latest", f"localhost/{job}-bento:latest"):
        if inspect(engine, name) is not None:
            remove(engine, name)


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
