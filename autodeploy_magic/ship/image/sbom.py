"""What is in an image, as a bill of materials: CycloneDX 1.6 in JSON. The same content gives the same bytes.

Source of the format: cyclonedx.org/docs/1.6/json. Packages are read from the metadata that lies beside them.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic import __version__
from autodeploy_magic.build.environment.installed import canonical
from autodeploy_magic.contracts import Version
from autodeploy_magic.ship.text import one_line
from autodeploy_magic.store import file_sha256

__all__ = ["SBOM", "Distribution", "bill_of_materials", "distributions", "write_sbom"]

SBOM = "app/sbom.cdx.json"
"""Where it lies in an image."""

_SHORT = 80
"""A "License" of more characters is the whole text of one."""
_SPDX = re.compile(r"[A-Za-z0-9.+()-]+(?: (?:AND|OR|WITH) [A-Za-z0-9.+()-]+)*")
_SPACE = uuid.UUID("5f0c2f5e-6f0a-5a7b-9b52-0f9a3b7d6c11")
"""The name space of the serial numbers, which are made of the content."""


class Distribution(msgspec.Struct, frozen=True):
    """An installed package: its METADATA, of which the head is enough, and the SHA-256 of its RECORD, "" for none."""

    metadata: str
    record: str = ""


def distributions(packages: Path) -> list[Distribution]:
    """What is installed in the folder `packages`."""
    return [
        Distribution(
            metadata.read_text("utf-8", "replace"),
            file_sha256(record) if (record := metadata.with_name("RECORD")).is_file() else "",
        )
        for metadata in packages.glob("*.dist-info/METADATA")
    ]


def write_sbom(version: Version, model: Path, packages: Iterable[Distribution], target: Path) -> None:
    """Write the bill of the files in `model` and of `packages` to `target`."""
    target.write_text(json.dumps(bill_of_materials(version, model, packages), indent=1) + "\n", "utf-8")


def bill_of_materials(version: Version, model: Path, packages: Iterable[Distribution]) -> dict[str, Any]:
    """The bill as JSON values. What is installed twice is listed once."""
    image = {
        "type": "container",
        "bom-ref": "image",
        "name": version.deployment,
        "version": f"v{version.number}",
    }
    ours: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"pkg:pypi/autodeploy-magic@{__version__}",
        "name": "autodeploy_magic",
        "version": __version__,
        "purl": f"pkg:pypi/autodeploy-magic@{__version__}",
    }
    found = {str(ours["bom-ref"]): ours}
    for package in sorted(map(_package, packages), key=lambda one: str(one["bom-ref"])):
        found.setdefault(str(package["bom-ref"]), package)
    components = [_model(version, model), *found.values()]
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": _time(version.created_at),
            "tools": {"components": [{"type": "application", "name": "autodeploy_magic", "version": __version__}]},
            "component": image,
        },
        "components": components,
        "dependencies": [{"ref": "image", "dependsOn": [one["bom-ref"] for one in components]}],
    }
    serial = uuid.uuid5(_SPACE, json.dumps(bill, sort_keys=True))
    return {"bomFormat": bill.pop("bomFormat"), "specVersion": bill.pop("specVersion")} | {
        "serialNumber": f"urn:uuid:{serial}",
        **bill,
    }


def _model(version: Version, model: Path) -> dict[str, Any]:
    """The model, with the hashes of its files. Its own is that of its record, which lists those."""
    files = [
        {
            "type": "file",
            "bom-ref": f"model/{artifact.path}",
            "name": one_line(artifact.path),
            "hashes": [{"alg": "SHA-256", "content": artifact.sha256}],
        }
        for artifact in sorted(version.artifacts, key=lambda one: one.path)
    ]
    return {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": version.deployment,
        "version": str(version.number),
        "description": one_line(f"{version.model_type}, as {version.format}"),
        "hashes": [{"alg": "SHA-256", "content": file_sha256(model / "version.json")}],
        "modelCard": {"modelParameters": {"task": one_line(version.task)}},
        "properties": [{"name": "autodeploy-magic:digest", "value": version.digest}],
        "components": files,
    }


def _package(distribution: Distribution) -> dict[str, Any]:
    told = HeaderParser().parsestr(distribution.metadata)
    name, number = one_line(str(told["Name"])), one_line(str(told["Version"]))
    purl = f"pkg:pypi/{canonical(name)}@{number.replace('+', '%2B')}"
    found: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": name, "version": number, "purl": purl}
    licenses = _licenses(told)
    if licenses:
        found["licenses"] = licenses
    if distribution.record:
        found["properties"] = [{"name": "autodeploy-magic:record", "value": f"sha256:{distribution.record}"}]
    return found


def _licenses(told: Message) -> list[dict[str, Any]]:
    """The licences as the metadata has them: an expression, a short text, or what its classifiers say."""
    expression = str(told.get("License-Expression") or "").strip()
    if expression and _SPDX.fullmatch(expression):
        return [{"expression": expression}]
    text = one_line(str(told.get("License") or ""))
    if 0 < len(text) <= _SHORT and "\n" not in str(told["License"]):
        return [{"license": {"name": text}}]
    classified = [str(line) for line in told.get_all("Classifier", []) if str(line).startswith("License ::")]
    return [{"license": {"name": one_line(line.rpartition("::")[2])}} for line in sorted(set(classified))]


def _time(iso: str) -> str:
    try:
        return datetime.fromisoformat(iso).astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except ValueError:
        return "1980-01-01T00:00:00Z"
