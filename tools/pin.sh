#!/usr/bin/env bash
# Writes constraints.txt: the newest versions that pyproject.toml allows, as this machine's pip resolves them.
# Run it on the oldest Python that is supported, then `make test`: only a tested set is committed.
set -euo pipefail
cd "$(dirname "$0")/.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
"${PYTHON:-python3.11}" -m venv "$fresh"
"$fresh/bin/python" -m pip install --quiet --quiet --disable-pip-version-check --editable '.[dev]'
{
    echo "# The exact versions that were tested, on the Python of Debian 12 (3.11.2). \`make\` installs these; so does"
    echo "#     pip install -c constraints.txt -e '.[sklearn]'"
    echo "# Made again by tools/pin.sh."
    "$fresh/bin/python" -m pip freeze --exclude-editable | sed 's/+cpu$//'     # the label of a build is not a version
} > constraints.txt
