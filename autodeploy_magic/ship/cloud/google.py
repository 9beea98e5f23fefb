"""What the places of Google Cloud have in common: project, region, registry."""

from __future__ import annotations

import re

from autodeploy_magic.ship.base import Cargo, Choice
from autodeploy_magic.ship.cloud import folder

__all__ = ["ACCOUNT_PATTERN", "CHOICES", "notes", "repository", "settings"]

ACCOUNT_PATTERN = r"[a-z0-9.-]{1,63}@[a-z0-9.-]{1,100}\.gserviceaccount\.com"
CHOICES = (
    folder.REGION,
    Choice("project", "identity of the project; empty leaves it to the environment variable PROJECT"),
)
_REGISTRIES = re.compile(r"([a-z0-9-]+-docker\.pkg\.dev|(?:[a-z]+\.)?gcr\.io|docker\.io)/.+")


def settings(cargo: Cargo) -> dict[str, str]:
    """PROJECT and REGION as they were chosen. Raises `InvalidOption`."""
    return {
        "PROJECT": folder.checked(cargo, "project", r"([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]", "my-project"),
        "REGION": folder.checked(cargo, "region", r"[a-z]+-[a-z]+[0-9]{1,2}", "europe-west1"),
    }


def repository(cargo: Cargo) -> str:
    """The option `repository`. Raises `InvalidOption`."""
    return folder.checked(cargo, "repository", r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", "models")


def notes(cargo: Cargo) -> tuple[str, ...]:
    """What is to be known of where the image is, and of what it is for."""
    found = []
    if folder.in_registry(cargo.reference) and not _REGISTRIES.fullmatch(cargo.reference):
        found.append(f"{cargo.reference} is in no registry of Google's: it needs a remote repository, or push.sh")
    if folder.machine() == "arm64":
        found.append("this machine is arm64, and that place runs linux/amd64: build with --platform linux/amd64")
    return tuple(found)
