#!/bin/sh
# The tests of Ray clusters, with a Python of their own: Ray is 0.6 GB and pins what the rest does not need.
#   tools/ray.sh            the tests
#   tools/ray.sh bench      the figures
set -eu
cd "$(dirname "$0")/.."

venv=${RAY_TEST_VENV:-.venv-ray}
python=$venv/bin/python
if [ ! -x "$python" ] || [ pyproject.toml -nt "$venv/.installed" ]; then
    "${PYTHON:-.venv/bin/python}" -m venv "$venv"
    "$python" -m pip install -q --disable-pip-version-check -e ".[ray,sklearn]"
    touch "$venv/.installed"
fi
RAY_TEST_PYTHON=$(cd "$(dirname "$python")" && pwd)/python
export RAY_TEST_PYTHON
if [ "${1:-}" = bench ]; then
    exec .venv/bin/python benchmarks/ray_cluster.py
fi
exec .venv/bin/python -m pytest -q tests/ship/ray tests/supervisor/workers/test_remote.py tests/supervisor/workers/test_remote_use.py "$@"
