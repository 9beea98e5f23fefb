"""What a form of `ship` is made of: every target with its options, and what it says of images is what it does.

And where the files go that such a form orders.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from records import make_version
from shipments import REFERENCE, make_cargo, told

from autodeploy_magic.contracts import Desired, encode
from autodeploy_magic.errors import InvalidOption, ShipFailed
from autodeploy_magic.registry import TARGETS, load
from autodeploy_magic.ship import offer as offering
from autodeploy_magic.ship.kept import keep_image
from autodeploy_magic.ship.write import chosen, ship
from autodeploy_magic.shipping import Image, Offer, Shipment, Shipped
from autodeploy_magic.store import Store


@pytest.fixture
def iris(store: Store) -> Store:
    """A store with a version of `iris`, which nothing serves."""
    version = make_version()
    with store.building("iris"), store.staging("iris") as staging:
        (staging / "version.json").write_bytes(encode(version))
        store.commit(version, staging)
    store.save_desired(Desired(name="iris", version=1, executable="python"))
    return store


def offer_of(store: Store) -> Offer:
    """What is offered of `iris`, as a job gives it."""
    return msgspec.convert(offering.run({"home": str(store.home), "name": "iris"}), Offer)


def test_every_target_is_offered_with_its_options_as_they_are_typed(iris: Store) -> None:
    offered = offer_of(iris)
    assert {one.name for one in offered.targets} >= set(TARGETS)
    assert (offered.deployment, offered.version, offered.image, offered.broken) == ("iris", 1, "", ())
    for one in offered.targets:
        choices = load(TARGETS[one.name]).choices
        typed = {option.name: option.default for option in one.options if not option.required}
        given = {choice.name: choice.default for choice in choices if not choice.required}
        assert {name: chosen(one.name, choices, typed)[name] for name in given} == given
        assert all(option.help for option in one.options)
        assert one.about.endswith(".")
    required = [(one.name, option.name) for one in offered.targets for option in one.options if option.required]
    assert required == [("ci", "system")]
    assert [one.name for one in offered.targets if one.at_once] == ["ray"]


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_that_needs_an_image_says_so(name: str) -> None:
    target = load(TARGETS[name])()
    needed = False
    try:
        target.refuse(make_cargo(target, reference=""))
    except ShipFailed as error:
        needed = "needs an image" in error.what
    except (InvalidOption, OSError):
        pass  # it asks for something else: one that needs an image asks for that first
    assert needed == (getattr(target, "image", "named") == "needed")


def test_the_image_that_was_built_last_is_told(iris: Store) -> None:
    for tag in ("v1", "other"):
        image = Image(
            deployment="iris", version=1, version_digest="", name=f"iris:{tag}", flavour="lean", engine="podman"
        )
        keep_image(iris, image)
    assert offer_of(iris).image == "iris:other"


class Moon:
    """Goes to the moon.

    In three days.
    """

    choices: tuple[Any, ...] = ()


def test_a_target_of_another_package_that_is_broken_leaves_the_others(
    iris: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = {"moon": f"{__name__}:Moon", "mars": "nosuchpackage:Mars"}
    monkeypatch.setattr(offering, "table", lambda _: entries)
    offered = offer_of(iris)
    assert [(one.name, one.about, one.image, one.at_once) for one in offered.targets] == [
        ("moon", "Goes to the moon.", "named", False)
    ]
    assert offered.broken == ("mars (nosuchpackage:Mars): ModuleNotFoundError: No module named 'nosuchpackage'",)


def to(store: Store, folder: str) -> Shipped:
    """Ship `iris` into that folder."""
    return ship(store, "iris", Shipment(target="compose", image=REFERENCE, folder=folder), told)


@pytest.mark.parametrize("typed", ["~/shipped/iris", "shipped/iris"])
def test_a_folder_that_is_not_absolute_is_in_the_persons_home(
    iris: Store, typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    shipped = to(iris, typed)
    assert shipped.folder == str(tmp_path / "shipped" / "iris")
    assert (tmp_path / "shipped" / "iris" / "docker-compose.yaml").is_file()
    with pytest.raises(InvalidOption, match="is there already"):
        to(iris, str(tmp_path / "shipped" / "iris"))


@pytest.mark.parametrize("typed", ["/tmp/a\0b", "~nobody-at-all/x", "/tmp/a\nb"])
def test_a_folder_that_cannot_be_is_refused(iris: Store, typed: str) -> None:
    with pytest.raises(InvalidOption):
        to(iris, typed)
