"""What a model reaches for outside of its Bento: found in the clean replay, and said with what to do."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autodeploy_magic.build import Built
from autodeploy_magic.errors import ExportFailed

Make = Callable[..., Built]
Notebook = Callable[..., dict[str, Any]]


def test_a_file_of_the_working_folder_is_named(
    make: Make, notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vocab.txt").write_text("a b c")
    monkeypatch.chdir(tmp_path)
    names = notebook(
        "def preprocess(x):\n    return [len(open('vocab.txt').read()) + v for v in x]\ndef model(x):\n    return x"
    )
    with pytest.raises(
        ExportFailed, match=r"(?s)preprocess opens vocab.txt.*load vocab.txt once at the top of the cell"
    ):
        make(names["model"], [1.0, 2.0], code={"preprocess": names["preprocess"]}, dry_run=True)


def test_a_file_elsewhere_on_this_machine_is_noted(make: Make, notebook: Notebook, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("a b c")
    names = notebook(f"def model(x):\n    return [len(open({str(words)!r}).read()) + v for v in x]")
    environment = make(names["model"], [1.0, 2.0], dry_run=True).version.environment
    (note,) = (line for line in environment.notes if "words.txt" in line)
    assert str(tmp_path) not in note, "where it lies is nobody else's business"


def test_the_network_is_noted_and_missed(make: Make, notebook: Notebook) -> None:
    asks = (
        "import sys\ndef model(x):\n    sys.audit('socket.getaddrinfo', 'weights.invalid', 443, 0, 0, 0)\n    return x"
    )
    environment = make(notebook(asks)["model"], [1.0, 2.0], dry_run=True).version.environment
    assert any("weights.invalid over the network" in line for line in environment.notes)
    there = notebook(
        "import os\nPID = os.getpid()\ndef model(x):\n    if os.getpid() != PID:\n"
        "        raise ConnectionRefusedError('no road to weights.invalid')\n    return x"
    )
    with pytest.raises(
        ExportFailed, match=r"(?s)model asks for something over the network.*no road.*fetch it in the notebook"
    ):
        make(there["model"], [1.0, 2.0], dry_run=True)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("os.environ['ADM_ONLY_HERE']", r"reads the environment variable ADM_ONLY_HERE.*set ADM_ONLY_HERE before"),
        ("__import__('_'.join(['adm', 'plugin']))", r"needs the module adm_plugin.*import adm_plugin` in the cell"),
        ("only_here()", r"uses only_here, which is not defined.*define or import only_here"),
        ("pd.DataFrame({'a': [1]}).hung.total()", r"uses \.hung of a DataFrame.*import the module that adds \.hung"),
        ("1 / (os.getpid() == PID)", r"model raises ZeroDivisionError in a clean process.*only this kernel"),
    ],
)
def test_what_only_the_kernel_has_is_named(
    line: str, words: str, make: Make, notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    code = f"import os, pandas as pd\nPID = os.getpid()\ndef model(x):\n    {line}\n    return x"
    (tmp_path / "adm_plugin.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("builtins.only_here", lambda: 1, raising=False)
    hung = type("Hung", (), {"__init__": lambda self, table: None, "total": lambda self: 1, "__module__": "__main__"})
    monkeypatch.setattr(pd.DataFrame, "hung", property(hung), raising=False)
    variable = "ADM_ONLY_HERE"
    names = notebook(code)
    runs = _WithoutVariable(variable)
    monkeypatch.setattr("autodeploy_magic.build.clean.os", runs)
    monkeypatch.setenv(variable, "x")
    with pytest.raises(ExportFailed, match=rf"(?s){words}"):
        make(names["model"], [1.0, 2.0], dry_run=True)
    sys.modules.pop("adm_plugin", None)


class _WithoutVariable:
    """`os` as the runner of clean processes sees it: the supervisor was started before the variable was set."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name == "environ":
            return {key: value for key, value in os.environ.items() if key != self._name}
        return getattr(os, name)


def test_data_beside_a_lone_module_is_missed_and_said(
    make: Make, notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "adm_lone.py").write_text(
        "from pathlib import Path\nDATA = Path(__file__).with_name('w.txt')\n"
        "def f(x):\n    return [len(DATA.read_text()) + v for v in x]\n"
    )
    (tmp_path / "w.txt").write_text("abc")
    monkeypatch.syspath_prepend(str(tmp_path))
    names = notebook("from adm_lone import f\ndef model(x):\n    return f(x)")
    try:
        with pytest.raises(ExportFailed, match=r"(?s)f opens w.txt, which does not travel.*into a package"):
            make(names["model"], [1.0, 2.0], dry_run=True)
    finally:
        del sys.modules["adm_lone"]


def test_what_is_imported_within_a_function_is_pinned_and_system_libraries_are_noted(
    make: Make, notebook: Notebook
) -> None:
    names = notebook(
        "def preprocess(x):\n    if len(x) > 1000:\n        import statsmodels.api\n    return x\n"
        "def model(x):\n    import lightgbm\n    return [v + (lightgbm.__name__ == 'lightgbm') for v in x]"
    )
    found = make(names["model"], [1.0, 2.0], code={"preprocess": names["preprocess"]}, dry_run=True).version.environment
    assert {"lightgbm", "statsmodels"} <= {pin.partition("==")[0] for pin in found.requirements}
    assert all(pin.partition("==")[0] != "torch" for pin in found.requirements), (
        "what the kernel has besides stays here"
    )
    if sys.platform == "linux":
        assert "libgomp.so.1" in found.system_libraries
    assert not {name for name in found.system_libraries if name.startswith(("libc.", "libpython"))}


def test_no_index_and_no_credential_is_in_a_bento(
    make: Make, notebook: Notebook, store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributions import distribution

    site = tmp_path / "site-packages"
    site.mkdir()
    address = "https://bob:s3cr3t-pw@git.corp.example/shop.git"
    origin = {"url": address, "vcs_info": {"vcs": "git", "commit_id": "0" * 40}}
    distribution(site, "shop", origin=origin, files={"shop.py": "def f(x):\n    return x\n"})
    (tmp_path / "pip.conf").write_text("[global]\nextra-index-url = https://u:s3cr3t-conf@pip.corp.example\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX"):
        monkeypatch.setenv(name, f"https://u:s3cr3t-{name}@index.corp.example")
    monkeypatch.setenv("CORP_TOKEN", "s3cr3t-token")
    names = notebook(
        "import os, shop\nfrom os import environ\n"
        "def model(x):\n    import lightgbm\n    return shop.f(x) if environ else os"
    )
    try:
        built = make(names["model"], [1.0, 2.0])
    finally:
        sys.modules.pop("shop", None)
    assert "shop==1.0" in built.version.environment.requirements
    files = [file for file in store.home.rglob("*") if file.is_file()]
    assert any(file.name == "requirements.txt" for file in files)
    if sys.platform == "linux":
        (docker,) = (file for file in files if file.name == "Dockerfile")
        assert "libgomp1" in docker.read_text(), "what LightGBM needs of the system"
    assert any(file.name == "code.pkl" or file.suffix == ".pkl" for file in files)
    told = [file for file in files if any(word in file.read_bytes() for word in (b"s3cr3t", b"corp.example"))]
    assert not told
