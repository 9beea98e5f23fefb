"""What is public is listed, sorted, there, and explained."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import autodeploy_magic

# __main__ modules run on import, which is what they are for.
MODULES = [
    "autodeploy_magic",
    *(
        found.name
        for found in pkgutil.walk_packages(autodeploy_magic.__path__, "autodeploy_magic.")
        if not found.name.endswith("__main__")
    ),
]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_what_it_is_for(name: str) -> None:
    assert (importlib.import_module(name).__doc__ or "").strip()


@pytest.mark.parametrize("name", MODULES)
def test_the_list_of_public_names_is_sorted_and_true(name: str) -> None:
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", ())  # a room's own docstring needs none
    assert list(listed) == ruff_sorted(listed)
    assert len(set(listed)) == len(listed)
    assert [entry for entry in listed if not hasattr(module, entry)] == []


@pytest.mark.parametrize("name", MODULES)
def test_public_functions_and_classes_are_explained(name: str) -> None:
    module = importlib.import_module(name)
    silent = [
        entry
        for entry in getattr(module, "__all__", ())
        if (inspect.isfunction(value := getattr(module, entry)) or inspect.isclass(value)) and not inspect.getdoc(value)
    ]
    assert silent == []


def test_the_package_lists_what_a_person_types() -> None:
    assert set(dir(autodeploy_magic)) == set(autodeploy_magic.__all__)
    assert {"attach", "deploy", "load_ipython_extension"} <= set(autodeploy_magic.__all__)


def test_a_name_that_is_not_there_says_so() -> None:
    with pytest.raises(AttributeError, match="'autodeploy_magic' has no attribute 'deplyo'"):
        autodeploy_magic.deplyo  # noqa: B018


def ruff_sorted(names: list[str]) -> list[str]:
    """The order that the linter keeps: CONSTANTS, then Classes, then functions."""
    return sorted(names, key=lambda name: (0 if name.isupper() else 1 if name[0].isupper() else 2, name))
