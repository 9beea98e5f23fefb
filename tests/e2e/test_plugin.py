"""A framework of somebody else's, installed as a package of its own: what `examples/framework_plugin` shows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect

PLUGIN = Path(__file__).parents[2] / "examples" / "framework_plugin"

DEPLOY = """
import numpy as np
from numpy.polynomial import Polynomial
import autodeploy_magic as ad

x = np.linspace(-2, 2, 300)[:, None]
model = Polynomial([1.0, -2.0, 0.5, 3.0])
dep = ad.deploy(model, "curve", sample=x, format="onnx", quiet=True)
version = dep.versions()[-1]
print(version.framework, version.format, version.task, version.trust.level)
print(float(np.abs(dep.predict(x[:5]) - model(x[:5])).max()))
"""


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_an_installed_package_adds_a_framework(tmp_path: Path) -> None:
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target"]
    subprocess.run([*install, str(tmp_path / "site"), str(PLUGIN)], check=True, timeout=120, capture_output=True)
    environment = {**os.environ, "AUTODEPLOY_HOME": str(tmp_path / "home"), "PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-c", DEPLOY]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    finally:
        connect(Store(tmp_path / "home"), start=False).shutdown(stop_deployments=True)
    assert done.returncode == 0, done.stderr
    told, difference = done.stdout.splitlines()[-2:]
    assert told == "polynomial onnx regression green"
    assert float(difference) < 1e-4


def test_it_is_twenty_lines_of_code() -> None:
    code = (PLUGIN / "autodeploy_polynomial.py").read_text("utf-8").partition("class ")[2].partition("exporter =")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
