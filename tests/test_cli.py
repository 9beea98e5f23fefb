"""The `autodeploy` command. What it does to real deployments is in tests/notebook/test_lifecycle.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autodeploy_magic import __version__, cli
from autodeploy_magic.errors import InvalidOption


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = cli.main(words)
    out, err = capsys.readouterr()
    return status, out, err


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    from autodeploy_magic.verbs import VERBS

    status, out, _ = run(capsys, "--help")
    assert status == 0
    assert all(f"  {name} " in out for name in VERBS)
    assert run(capsys)[1] == out


def test_a_verb_s_help_speaks_of_files_not_of_variables(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "deploy", "--help")
    assert status == 0
    assert "usage: autodeploy deploy" in out
    assert "--sample FILE" in out
    assert "VAR" not in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version")[1] == f"autodeploy {__version__}\n"


def test_a_mistyped_line_is_2_and_says_what_would_do(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "lgos", "iris")
    assert (status, out) == (2, "")
    assert "did you mean 'logs'?" in err
    assert "Traceback" not in err


def test_an_unknown_deployment_is_1_and_readable_by_programs(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    status, _, err = run(capsys, "--json", "stop", "iris")
    assert status == 1
    assert json.loads(err)["error"] == "UnknownDeployment"


def test_list_of_nothing(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    assert run(capsys, "--json", "list")[:2] == (0, "[]\n")
    assert run(capsys, "list", "--json")[:2] == (0, "[]\n")
    assert "Nothing is deployed" in run(capsys, "list")[1]


def test_python_dash_m_is_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "autodeploy_magic", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"autodeploy {__version__}\n"


def test_rows_are_read_from_the_usual_files(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": ["x", "y"]})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "rows.json").write_text('{"inputs": [[1, 2]]}')
    np.save(tmp_path / "rows.npy", np.eye(2))
    pd.testing.assert_frame_equal(cli._read("sample", str(tmp_path / "rows.csv")), frame)
    assert cli._read("sample", str(tmp_path / "rows.json")) == [[1, 2]]
    assert np.array_equal(cli._read("sample", str(tmp_path / "rows.npy")), np.eye(2))


def test_one_column_of_labels_is_a_series(tmp_path: Path) -> None:
    (tmp_path / "y.csv").write_text("label\n1\n0\n")
    assert isinstance(cli._read("labels", str(tmp_path / "y.csv")), pd.Series)


def test_a_model_is_an_onnx_file_or_a_name_in_a_python_file(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    (tmp_path / "trained_here.py").write_text("def double(x):\n    return x * 2\n")
    assert cli._read("model", str(tmp_path / "model.onnx")) == tmp_path / "model.onnx"
    assert cli._read("model", f"{tmp_path / 'trained_here.py'}:double")(3) == 6


@pytest.mark.parametrize("typed", ["gone.csv", "trained.py", "model.bin"])
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, typed: str) -> None:
    for name in ("trained.py", "model.bin"):
        (tmp_path / name).write_text("")
    with pytest.raises(InvalidOption):
        cli._read("model", str(tmp_path / typed))


def test_a_name_that_the_python_file_lacks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty_module.py").write_text("")
    with pytest.raises(InvalidOption, match="has no 'model'"):
        cli._read("model", f"{tmp_path / 'empty_module.py'}:model")
