"""What a pickle names is told without running it; what is dangerous is refused, with leave or without."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodeploy_magic.build.read import read_model
from autodeploy_magic.build.read.given import given_at
from autodeploy_magic.build.read.guarded import guarded
from autodeploy_magic.build.read.named import dangerous, named_in
from autodeploy_magic.errors import BadInput


class Attack:
    """Pickles to a call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.fixture
def attacks(tmp_path: Path) -> Callable[[Path], dict[str, bytes]]:
    def make(ran: Path) -> dict[str, bytes]:
        touch = f"open({str(ran)!r}, 'w').close()"
        stream = io.BytesIO()
        joblib.dump({"w": np.arange(9.0), "o": np.array([Attack(eval, touch), 1], dtype=object)}, stream)
        packed = io.BytesIO()
        joblib.dump([Attack(exec, touch)], packed, compress=("gzip", 3))
        return {
            "system.pkl": pickle.dumps(Attack(os.system, f"touch {ran}")),
            "eval.pkl": pickle.dumps([1, Attack(eval, touch)], protocol=2),
            "run.pkl": pickle.dumps({"m": Attack(subprocess.check_call, ["touch", str(ran)])}, protocol=4),
            "text.pkl": b"cos\nsystem\n(S'touch " + str(ran).encode() + b"'\ntR.",
            "inst.pkl": b"(S'touch " + str(ran).encode() + b"'\nios\nsystem\n.",
            "array.joblib": stream.getvalue(),
            "packed.joblib": packed.getvalue(),
        }

    return make


@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize(
    "name", ["system.pkl", "eval.pkl", "run.pkl", "text.pkl", "inst.pkl", "array.joblib", "packed.joblib"]
)
def test_an_attack_is_named_and_nothing_of_it_runs(
    attacks: Callable[[Path], dict[str, bytes]], tmp_path: Path, name: str, allow: bool
) -> None:
    ran = tmp_path / "ran"
    (tmp_path / name).write_bytes(attacks(ran)[name])
    with pytest.raises(
        BadInput, match=r"that names (posix\.system|os\.system|(__builtin__|builtins)\.\w+|subprocess\.\w+)"
    ) as refused:
        read_model(tmp_path / name, allow_pickle=allow)
    assert "do not load it" in refused.value.fix
    assert not ran.exists()


def test_the_attacks_are_real(attacks: Callable[[Path], dict[str, bytes]], tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    pickle.loads(attacks(ran)["eval.pkl"])
    assert ran.exists()


def test_what_the_walk_did_not_see_is_stopped_while_it_is_read(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "x.pkl").write_bytes(b".")
    data = pickle.dumps(Attack(eval, f"open({str(ran)!r}, 'w').close()"))
    with (
        pytest.raises(BadInput, match=r"asked for builtins\.eval while it was read"),
        guarded(given_at(str(tmp_path / "x.pkl"))),
    ):
        pickle.loads(data)
    assert not ran.exists()
    assert pickle.loads(pickle.dumps(Attack(eval, "1 + 1"))) == 2  # elsewhere pickles are none of our business


def test_a_pickled_module_of_torch_is_looked_at_too(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        archive.writestr("net/data.pkl", pickle.dumps(Attack(os.system, f"touch {ran}"), protocol=2))
        archive.writestr("net/version", "3\n")
        archive.writestr("net/byteorder", "little")
    with pytest.raises(BadInput, match=r"names posix\.system"):
        read_model(tmp_path / "net.pt", allow_pickle=True)
    assert not ran.exists()


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("os.system", True),
        ("sklearn.utils.os.system", True),
        ("builtins.eval", True),
        ("builtins.getattr", False),
        ("builtins.set", False),
        ("sklearn.pipeline.Pipeline", False),
        ("numpy.ndarray", False),
        ("collections.OrderedDict", False),
        ("functools.partial", False),
        ("_codecs.encode", False),
        ("os.path.join", True),
    ],
)
def test_which_names_are_dangerous(name: str, bad: bool) -> None:
    assert dangerous(name) is bad


def test_bytecode_of_functions_is_told(tmp_path: Path) -> None:
    import cloudpickle

    (tmp_path / "f.pkl").write_bytes(cloudpickle.dumps(lambda x: x + 1))
    notes = read_model(tmp_path / "f.pkl", allow_pickle=True).notes
    assert "as bytecode" in notes[0]


@given(st.binary(max_size=200))
def test_no_bytes_at_all_raise_or_run(data: bytes) -> None:
    found = named_in(b"\x80\x04" + data)
    assert found.whole in (True, False)
    assert all("." in name for name in found.names)


@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.binary(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_plain_values_name_nothing(value: Any) -> None:
    found = named_in(pickle.dumps(value))
    assert (found.names, found.whole) == ((), True)
