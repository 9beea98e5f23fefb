"""Whether pins could be installed elsewhere is told before anything is exported, from metadata alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from distributions import distribution

from autodeploy_magic import settings
from autodeploy_magic.build import Built
from autodeploy_magic.build.environment import check
from autodeploy_magic.build.environment.pins import Resolved, resolve
from autodeploy_magic.errors import InvalidOption, PackageFailed

GIT = {"url": "https://bob:s3cr3t@git.example.com/shop.git", "vcs_info": {"vcs": "git", "commit_id": "0" * 40}}
WHEEL = {"url": "https://files.example.com/shop-1.0-py3-none-any.whl?token=s3cr3t", "archive_info": {}}
CONDA = {"url": "file:///croot/shop_1690000000000/work", "dir_info": {}}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def shop(site: Path, version: str = "1.0", **told: Any) -> Resolved:
    distribution(site, "shop", version, files={"shop/__init__.py": ""}, **told)
    return resolve(["shop"])


def test_what_is_installed_here_fits_together() -> None:
    assert resolve(["sklearn", "pandas"]).conflicts == ()


def test_a_requirement_that_is_not_met_names_both_and_says_what_to_do(site: Path) -> None:
    distribution(site, "till", "1.5", files={"till.py": ""})
    (line,) = shop(site, requires=["till>=2", "till[fast]<9; python_version > '3'"]).conflicts
    assert line.startswith("shop 1.0 needs till>=2, and till==1.5 is what is installed: pip install 'till>=2'")


def test_a_requirement_of_an_extra_counts_where_it_is_asked_for(site: Path) -> None:
    distribution(site, "till", "1.5", requires=["coins>=3; extra == 'fast'"], files={"till.py": ""})
    distribution(site, "coins", "2.0", files={"coins.py": ""})
    assert resolve(["till"]).conflicts == ()
    (line,) = shop(site, requires=["till[fast]"]).conflicts
    assert "till 1.5 needs coins>=3, and coins==2.0" in line


def test_a_dependency_that_is_missing_is_said(site: Path) -> None:
    (line,) = shop(site, requires=["nowhere>=1", "winonly; sys_platform == 'win32'"]).conflicts
    assert line == "shop 1.0 needs nowhere>=1, which is not installed: pip install 'nowhere>=1'"


def test_a_distribution_for_another_python_is_said(site: Path) -> None:
    (line,) = shop(site, python="<3.9").conflicts
    assert "needs Python <3.9, and this is Python 3." in line


@pytest.mark.parametrize(
    ("version", "told", "conflict", "note"),
    [
        ("1.0", {"origin": GIT}, "", "the release of that number takes its place"),
        ("1.1.dev3+gabc", {"origin": GIT}, "no index has that version", ""),
        ("1.0", {"origin": WHEEL}, "", "elsewhere an index must have it"),
        ("1.1.dev3", {}, "development version", ""),
        ("2.13.0+cpu", {}, "", "a build of its own (cpu): elsewhere 2.13.0 is installed"),
        ("1.0", {"origin": CONDA, "installer": "conda"}, "", ""),
    ],
)
def test_where_it_was_installed_from_matters_and_is_not_told(
    site: Path, version: str, told: dict[str, Any], conflict: str, note: str
) -> None:
    found = shop(site, version, **told)
    assert f"shop=={version.partition('+')[0]}" in found.requirements
    for lines, words in ((found.conflicts, conflict), (found.notes, note)):
        assert len(lines) == bool(words), lines
        assert words in "".join(lines)
    assert not any(word in repr(found) for word in ("s3cr3t", "example.com", "croot"))


def test_two_distributions_over_each_other_are_noted(site: Path) -> None:
    for name in ("view", "view-headless"):
        distribution(site, name, files={"view/__init__.py": ""})
    (line,) = resolve(["view", "view.core"]).notes
    assert line.startswith("view and view-headless have both installed view, over each other")


def test_a_local_build_does_not_fulfil_what_only_it_could(site: Path) -> None:
    distribution(site, "till", "2.0+cpu", files={"till.py": ""})
    assert shop(site, requires=["till==2.0"]).conflicts == ()
    distribution(site, "stall", files={"stall.py": ""}, requires=["till==2.0+cpu"])
    assert "till==2.0 is what is installed" in resolve(["stall"]).conflicts[0]


def test_it_is_read_again_when_something_is_installed(site: Path) -> None:
    assert shop(site, requires=["till"]).conflicts
    distribution(site, "till", files={"till.py": ""})
    assert resolve(["shop"]).conflicts == ()
    started = time.process_time()
    resolve(["shop"])
    assert time.process_time() - started < 0.05


def test_a_conflict_is_written_down_or_refused_before_anything_is_exported(
    site: Path, make: Callable[..., Built], notebook: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution(site, "shop", requires=["nowhere>=1"], files={"shop/__init__.py": "def f(x):\n    return x\n"})
    monkeypatch.setenv("PYTHONPATH", str(site))
    model = notebook("import shop\ndef model(x):\n    return [shop.f(v) for v in x]")["model"]
    try:
        built = make(model, [1.0, 2.0], dry_run=True)
        assert any("nowhere>=1" in line for line in built.version.environment.conflicts)
        settings.set_option("conflicts", "refuse")
        with pytest.raises(
            PackageFailed, match=r"(?s)could not be installed together.*nowhere>=1.*set conflicts to warn"
        ):
            make(model, [1.0, 2.0], dry_run=True, name="other")
        check(["json"])
        settings.set_option("conflicts", "ignore")
        with pytest.raises(InvalidOption, match="use warn or refuse"):
            check(["json"])
    finally:
        settings.reset()
        sys.modules.pop("shop", None)
