"""The bill of materials: all that is in the image, in CycloneDX, and the same each time."""

from __future__ import annotations

import json
import re
from pathlib import Path
from uuid import UUID

import pytest

from autodeploy_magic.contracts import Version
from autodeploy_magic.ship.image.context import Context
from autodeploy_magic.ship.image.sbom import Distribution, bill_of_materials, distributions
from autodeploy_magic.store import file_sha256


def test_it_lists_the_model_and_every_package(context: Context, made: tuple[Version, Path]) -> None:
    app = context.root / "app"
    bill = json.loads((app / "sbom.cdx.json").read_bytes())
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert UUID(bill["serialNumber"].removeprefix("urn:uuid:"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", bill["metadata"]["timestamp"])
    libraries = {one["name"]: one for one in bill["components"] if one["type"] == "library"}
    there = {folder.name.partition("-")[0] for folder in (app / "packages").glob("*.dist-info")}
    assert {name.lower().replace("-", "_") for name in libraries} == {name.lower() for name in there} | {
        "autodeploy_magic"
    }
    numpy = libraries["numpy"]
    assert numpy["purl"] == f"pkg:pypi/numpy@{numpy['version']}"
    assert all(one.get("licenses") for name, one in libraries.items() if name != "autodeploy_magic")
    (model,) = (one for one in bill["components"] if one["type"] == "machine-learning-model")
    assert model["hashes"] == [{"alg": "SHA-256", "content": file_sha256(app / "model" / "version.json")}]
    assert {file["name"]: file["hashes"][0]["content"] for file in model["components"]} == {
        artifact.path: artifact.sha256 for artifact in made[0].artifacts
    }
    references = [one["bom-ref"] for one in bill["components"]]
    assert len(references) == len(set(references))
    assert bill["dependencies"] == [{"ref": "image", "dependsOn": references}]


def test_it_is_of_the_content_alone(context: Context, made: tuple[Version, Path]) -> None:
    version, model = made
    packages = context.root / "app" / "packages"
    one, two = (bill_of_materials(version, model, distributions(packages)) for _ in range(2))
    assert one == two
    assert bill_of_materials(version, model, [])["serialNumber"] != one["serialNumber"]


@pytest.mark.parametrize(
    ("headers", "licenses"),
    [
        ("License-Expression: MIT AND BSD-3-Clause", [{"expression": "MIT AND BSD-3-Clause"}]),
        ("License: BSD", [{"license": {"name": "BSD"}}]),
        (
            f"License: {'x' * 500}\nClassifier: License :: OSI Approved :: MIT License",
            [{"license": {"name": "MIT License"}}],
        ),
        ("Summary: none", []),
        ("License-Expression: see the file; rm -rf /", []),
    ],
)
def test_licences_are_read_as_packages_tell_them(
    made: tuple[Version, Path], tmp_path: Path, headers: str, licenses: list[object]
) -> None:
    folder = tmp_path / "one-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: One_More\nVersion: 1.0+cpu\n{headers}\n\ntext\n")
    found = bill_of_materials(*made, distributions(tmp_path))["components"][-1]
    assert found["purl"] == "pkg:pypi/one-more@1.0%2Bcpu"
    assert found.get("licenses", []) == licenses


def test_what_is_installed_twice_is_listed_once(made: tuple[Version, Path]) -> None:
    one = Distribution("Name: One\nVersion: 1.0\n", "ab" * 32)
    bill = bill_of_materials(*made, [one, Distribution("Name: one\nVersion: 1.0\n"), one])
    (found,) = (part for part in bill["components"] if part["name"].lower() == "one")
    assert found["properties"] == [{"name": "autodeploy-magic:record", "value": f"sha256:{'ab' * 32}"}]
