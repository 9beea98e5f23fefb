"""What cannot be served is said in one line of JSON, with an exit code, before any work."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from certificates import certificate, new_key, write
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version

from autodeploy_magic.errors import InvalidOption, StartFailed
from autodeploy_magic.serve.alone.environment import read
from autodeploy_magic.serve.alone.folder import state_folder
from autodeploy_magic.serve.alone.order import read_version
from autodeploy_magic.serve.alone.serving import serve

TOKEN = "a-token-that-nobody-guesses"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"AUTODEPLOY_TOKEN": None}, "no token is given"),
        ({"AUTODEPLOY_WORKERS": "0"}, "AUTODEPLOY_WORKERS is '0'"),
        ({"AUTODEPLOY_TOKEN": None, "AUTODEPLOY_TOKEN_FILE": "/nowhere/token"}, "/nowhere/token cannot be read"),
    ],
    ids=["no-token", "no-workers", "no-token-file"],
)
def test_it_ends_with_2_and_one_line(start: Callable[..., Any], changes: dict[str, str | None], words: str) -> None:
    entry = start(**changes)
    assert entry.end() == 2
    (line,) = entry.lines
    assert (line["level"], line["error"]) == ("error", "InvalidOption")
    assert words in line["message"]
    assert line["fix"]


def test_a_port_that_is_taken(start: Callable[..., Any], port: int) -> None:
    with socket.create_server(("0.0.0.0", port)):
        entry = start()
        assert entry.end() == 1
    line = entry.logged("belongs to another program")
    assert line["error"] == "PortTaken"
    assert "PORT" in line["fix"]


def test_a_model_that_is_not_what_was_built(start: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "v")
    with (tmp_path / "v" / "model.onnx").open("ab") as stream:
        stream.write(b"more")
    entry = start(AUTODEPLOY_MODEL=str(tmp_path / "v"))
    assert entry.end() == 1
    assert "ArtifactChanged" in entry.logged("did not start")["exception"]


def test_a_folder_without_a_version(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=f"there is no version in {tmp_path}") as raised:
        read_version(tmp_path)
    assert "AUTODEPLOY_MODEL" in raised.value.fix


@pytest.mark.parametrize("format", ["native", "onnx"])
def test_pickles_of_another_python_are_not_read(tmp_path: Path, format: str) -> None:
    write_version(tmp_path, LogisticRegression(max_iter=1000).fit(X, NAMES[Y]), X, format=format)
    record = msgspec.json.decode((tmp_path / "version.json").read_bytes())
    record["environment"]["python"] = "3.9.1"
    (tmp_path / "version.json").write_bytes(msgspec.json.encode(record))
    if format == "onnx":
        assert read_version(tmp_path).number == 1
    else:
        with pytest.raises(StartFailed, match=r"made by Python 3\.9"):
            read_version(tmp_path)


def test_a_key_of_another_certificate(environ: dict[str, str], tmp_path: Path) -> None:
    chain = write(tmp_path / "tls.crt", certificate(new_key(), ["iris.example.org"]))
    key = write(tmp_path / "tls.key", new_key())
    given = read(environ | {"AUTODEPLOY_TLS_CERTIFICATE": str(chain), "AUTODEPLOY_TLS_KEY": str(key)})
    with pytest.raises(InvalidOption, match="is not that of the certificate") as raised:
        serve(given)
    assert "AUTODEPLOY_TLS_KEY" in raised.value.fix


def test_a_certificate_without_a_host_is_not_told_of_its_key(environ: dict[str, str], tmp_path: Path) -> None:
    key = new_key()
    write(tmp_path / "tls.crt", certificate(key, []))
    write(tmp_path / "tls.key", key)
    files = {
        f"AUTODEPLOY_TLS_{kind}": str(tmp_path / f"tls.{end}") for kind, end in (("CERTIFICATE", "crt"), ("KEY", "key"))
    }
    with pytest.raises(InvalidOption, match="names no host") as raised:
        serve(read(environ | files))
    assert "subjectAltName" in raised.value.fix


def test_a_key_that_the_containers_user_may_not_read(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise InvalidOption("/tls.key gives no key for HTTPS", why="[Errno 13] Permission denied: '/tls.key'")

    monkeypatch.setattr("autodeploy_magic.tls.read", refuse)  # nobody refuses root
    with pytest.raises(InvalidOption, match="gives no key") as raised:
        serve(read(environ | {"AUTODEPLOY_TLS_CERTIFICATE": "/tls.crt"}))
    assert f"user {os.getuid()}" in raised.value.fix


def test_a_grpc_port_in_an_image_without_its_packages(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autodeploy_magic.serve.alone.serving.find_spec", lambda name: None)
    with pytest.raises(InvalidOption, match="AUTODEPLOY_GRPC_PORT is set") as raised:
        serve(read(environ | {"AUTODEPLOY_GRPC_PORT": "3999"}))
    assert "--grpc" in raised.value.fix


def test_no_place_to_write_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("autodeploy_magic.serve.alone.folder._MEMORY", str(tmp_path / "file" / "shm"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "file" / "tmp"))
    with pytest.raises(StartFailed, match="no folder can be written") as raised:
        state_folder(tmp_path / "file" / "state")
    assert "AUTODEPLOY_STATE" in raised.value.fix


def test_a_command_that_is_none(start: Callable[..., Any]) -> None:
    entry = start("sevre")
    assert entry.end() == 2
    assert b"health" in b"".join(entry.raw)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_can_be_ended_before_it_serves(start: Callable[..., Any], number: int) -> None:
    entry = start()
    entry.logged("loading")
    assert entry.end(number) == (0 if number == signal.SIGTERM else 130)


def test_a_signal_in_the_middle_of_a_line_of_the_log_ends_it_too(environ: dict[str, str]) -> None:
    code = """
import io, os, signal, sys
from autodeploy_magic.serve.alone.begin import begin

class Interrupting(io.RawIOBase):
    def writable(self):
        return True

    def write(self, data):
        os.write(2, data)
        os.kill(os.getpid(), signal.SIGTERM)  # its handler runs before the writer lets go of its lock
        return len(data)

sys.stderr = io.TextIOWrapper(io.BufferedWriter(Interrupting()), line_buffering=True)
sys.exit(begin("serve"))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
