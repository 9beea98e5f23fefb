"""What all places have: `settings.env`, the scripts, what an image must be like, and the words that READMEs share."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from autodeploy_magic.errors import InvalidOption, ShipFailed
from autodeploy_magic.ship.base import Cargo, Choice
from autodeploy_magic.ship.kubernetes.reasons import repository
from autodeploy_magic.ship.text import check_text, commented, env_file, yaml_of

__all__ = [
    "CANARY",
    "GUARDED",
    "PLACEHOLDER",
    "REGION",
    "base_settings",
    "checked",
    "image_notes",
    "image_or_placeholder",
    "in_registry",
    "machine",
    "next_steps",
    "no_streams",
    "readme",
    "release_labels",
    "write_json",
    "write_scripts",
    "write_services",
    "write_text",
    "write_yaml",
]

PLACEHOLDER = "SET_IMAGE"
"""What stands for the image in files that are written before it is in a registry; the scripts put $IMAGE there."""

GUARDED = {"AUTODEPLOY_AUTH": "off", "AUTODEPLOY_HOSTS": "*"}
"""The environment of an image whose door the place itself guards, under names of its own."""

REGION = Choice("region", "region of the cloud; empty leaves it to the environment variable REGION")
CANARY = Choice("canary", "percent of the requests that a new version gets at first", 10)

_END = "\n"
_IMPORTED = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::[0-9]+)?/|localhost(?::[0-9]+)?/")


def in_registry(reference: str) -> bool:
    """Whether a reference names a registry that another machine reaches, by its host."""
    found = _IMPORTED.match(reference)
    return found is not None and not found.group().startswith("localhost")


def image_or_placeholder(cargo: Cargo) -> str:
    """What a file names as the image: the reference, or `PLACEHOLDER` where it is on this machine alone."""
    return cargo.reference if in_registry(cargo.reference) else PLACEHOLDER


def image_notes(cargo: Cargo) -> tuple[str, ...]:
    """What is to be done about the image; () where it is named by its digest in a registry."""
    if not cargo.reference:
        return (f"no image of v{cargo.version.number} was built: `%deploy containerize {cargo.name}` builds one",)
    if not in_registry(cargo.reference):
        return (f"{cargo.reference} is on this machine alone: push.sh brings it into a registry",)
    if "@sha256:" not in cargo.reference:
        return (f"{cargo.reference} is a tag, which may come to mean another image: name it by its digest",)
    return ()


def no_streams(cargo: Cargo, place: str) -> None:
    """Raise `ShipFailed` for a version whose answers come one after the other, where the place hands on whole ones."""
    if any(output.streams for output in cargo.version.outputs):
        raise ShipFailed(
            f"v{cargo.version.number} of {cargo.name} streams its answers, and {place} waits for whole ones",
            why="its callers would get all of it at the end, or an error of the place",
            fix="`ship cloudrun`, `ship knative` and `ship kubernetes` hand on each item as it comes",
        )


def checked(cargo: Cargo, option: str, pattern: str, example: str) -> str:
    """An option that is a text, "" or what `pattern` matches as a whole. Raises `InvalidOption`."""
    value = check_text(cargo.text(option), option)
    if value and not re.fullmatch(pattern, value, re.ASCII):
        raise InvalidOption(f"{option} cannot be {value!r}", fix=f"use one such as {example}")
    return value


def machine() -> str:
    """What this machine's processor is called by Docker: "amd64" or "arm64"."""
    return "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "amd64"


def release_labels(cargo: Cargo) -> dict[str, str]:
    """Labels and tags that tell whose this is; small letters, digits, '-' and '_' only, as every cloud takes them."""
    digest = re.sub("[^a-z0-9]", "", cargo.version.digest)[:12] or "none"
    return {
        "managed-by": "autodeploy-magic",
        "deployment": cargo.name,
        "version": f"v{cargo.version.number}",
        "content": digest,
    }


def base_settings(cargo: Cargo, **more: str) -> dict[str, str]:
    """What every script reads. What is "" is left out, so that the environment can say it."""
    image, reference = cargo.image, cargo.reference
    name, at, digest = reference.partition("@")
    if at:  # not every cloud takes a tag before a digest, and it says nothing there
        reference = f"{repository(name)}@{digest}"
    values = {
        "NAME": cargo.name,
        "VERSION": f"v{cargo.version.number}",
        "IMAGE": reference if in_registry(reference) else "",
        "LOCAL_IMAGE": reference if reference and not in_registry(reference) else image.name if image else "",
        "ENGINE": image.engine if image else "",
        "ARCHIVE": image.archive if image and not image.engine else "",
        **more,
    }
    return {key: value for key, value in values.items() if value}


def write_text(folder: Path, name: str, text: str) -> None:
    """Write a file; its folder is made."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")


def write_json(folder: Path, name: str, value: Any) -> None:
    """Write plain values as JSON."""
    write_text(folder, name, json.dumps(value, indent=2, ensure_ascii=False))


def write_yaml(folder: Path, name: str, documents: Mapping[str, Any] | Sequence[Mapping[str, Any]], head: str) -> None:
    """Write plain values as YAML under a comment."""
    write_text(folder, name, yaml_of(documents, head=head))


def write_services(
    folder: Path, cargo: Cargo, service: Callable[[list[dict[str, Any]]], Mapping[str, Any]], percent: int
) -> None:
    """Write a Knative service with all its traffic, the same beside another with `percent` of it, and a request.

    `service` makes the manifest with blocks of traffic. The scripts put the revisions' names in.
    """
    revision = f"{cargo.name}-SET_RELEASE"
    whole: list[dict[str, Any]] = [{"revisionName": revision, "percent": 100}]
    split: list[dict[str, Any]] = [
        {"revisionName": "SET_STABLE", "percent": 100 - percent},
        {"revisionName": revision, "percent": percent, "tag": "canary"},
    ]
    write_yaml(folder, "service.yaml", service(whole), "For the first; deploy.sh fills it in.")
    write_yaml(folder, "canary.yaml", service(split), "Beside another; deploy.sh fills it in.")
    write_json(folder, "request.json", {"inputs": cargo.example()})


def write_scripts(folder: Path, places: Iterable[str], settings: Mapping[str, str], wanted: Iterable[str]) -> None:
    """Copy the scripts of all and those of `places`, and write `settings.env`. `wanted` names what has to be said."""
    scripts = resources.files("autodeploy_magic.ship.cloud") / "scripts"
    sources = [
        scripts / "steps.sh",
        scripts / "registry.sh",
        *(one for place in places for one in (scripts / place).iterdir()),
    ]
    for source in sources:
        content = source.read_bytes()
        (folder / source.name).write_bytes(content)
        (folder / source.name).chmod(0o755 if content.startswith(b"#!") else 0o644)
    open_ones = [name for name in wanted if name not in settings]
    head = "What the scripts read. What is not here they take from the environment."
    if open_ones:
        head += f"\nYet to be said there, or here: {', '.join(open_ones)}"
    write_text(folder, "settings.env", commented(head) + env_file(settings))


def next_steps(cargo: Cargo) -> tuple[str, ...]:
    """Commands to run in the folder."""
    pushed = () if in_registry(cargo.reference) else ("IMAGE=$(sh push.sh) && export IMAGE",)
    return (*pushed, "sh deploy.sh")


def readme(cargo: Cargo, place: str, parts: Mapping[str, str], settings: Mapping[str, str], *, checked: str) -> str:
    """A README: `parts` are headings and texts of the place; what all have stands around them."""
    missing = (
        ""
        if "IMAGE" in settings
        else (
            "The image is not in a registry yet. `push.sh` brings it there and prints its name with its digest:\n\n"
            "    IMAGE=$(sh push.sh) && export IMAGE\n\n"
            "Or, once it is there, name it when you ship: `--image NAME@sha256:...`; then the files hold it."
        )
    )
    whole = {
        **{key: value for key, value in parts.items() if key == "Before you begin"},
        "The image": missing or f"`{settings['IMAGE']}`",
        **{key: value for key, value in parts.items() if key != "Before you begin"},
        "What was checked, and what never was": (
            f"{checked.strip(_END)}\n\n"
            "The scripts were run with stand-ins for the cloud's command line: what they call, in which order, twice, "
            "and with calls that fail on the way. **Nothing of this was ever applied to a real account here.** Read it "
            "before you run it, and begin in an account for tests."
        ),
    }
    begin = (
        f"# {cargo.name} v{cargo.version.number} on {place}\n\n"
        f"Written from the version with the digest `{cargo.version.digest[:16]}`. No file here holds a credential, and "
        "no script asks for one: the command line of the cloud has yours. `settings.env` is what the scripts read; a "
        "variable of that name in the environment goes before it. A script that stops says what is done, and how to go "
        "on."
    )
    return "\n\n".join([begin, *(f"## {name}\n{text.strip(_END)}" for name, text in whole.items() if text)]) + "\n"
