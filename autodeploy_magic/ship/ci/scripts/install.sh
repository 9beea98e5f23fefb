#!/bin/sh
# Installs what the version was made with, and what the steps use. The repository's own requirements.txt comes besides.
# shellcheck source=/dev/null
. "$(dirname "$0")/common.sh"

cd "$CI_FOLDER/.." || exit 1
"$PYTHON" -m pip install --disable-pip-version-check -r "$CI_FOLDER/requirements.txt" || fail "ci/requirements.txt"
if [ -f requirements.txt ]; then
    "$PYTHON" -m pip install --disable-pip-version-check -r requirements.txt || fail "requirements.txt"
fi
"$PYTHON" -m pip install --disable-pip-version-check pip-audit || say "pip-audit cannot be installed: scan.sh says so"
