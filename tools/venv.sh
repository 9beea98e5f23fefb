#!/usr/bin/env bash
# Makes .venv with a Python >= 3.11 and installs this project into it, with one of its extras. `make` calls it; a stamp
# file tells make when: tools/venv.sh EXTRA STAMP. PYTHON=/path/to/python chooses the interpreter. pip's own configuration
# chooses the index.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

choose_python() {
    local candidate
    # 3.11 first: it is what constraints.txt was tested with.
    for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3.14 python3 python; do
        # Runs it rather than looking for it: a version manager's shim may exist for a Python that is not active.
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    say "No Python 3.11 or newer was found (tried \$PYTHON, python3.11 to python3.14, python3, python)."
    say "Install one (Debian, Ubuntu: apt-get install python3 python3-venv; macOS: brew install python@3.12),"
    say "or name it: make PYTHON=/path/to/python3.12"
    return 1
}

make_venv() {
    local python=$1
    rm -rf .venv
    "$python" -m venv .venv >/dev/null 2>&1 && return
    rm -rf .venv
    "$python" -m virtualenv --quiet .venv >/dev/null 2>&1 && return

    # Debian and Ubuntu ship venv in a package of its own.
    if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
        say "$python cannot make a virtual environment; installing python3-venv"
        apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y python3-venv >&2 || true
        rm -rf .venv
        "$python" -m venv .venv >/dev/null 2>&1 && return
    fi

    rm -rf .venv
    say "$python cannot make a virtual environment: it has neither venv nor virtualenv."
    say "Debian, Ubuntu: sudo apt-get install python3-venv. Elsewhere: $python -m pip install --user virtualenv."
    return 1
}

# A folder that was moved, or whose Python went away, is made again.
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(choose_python)
    say "making .venv with $("$python" --version)"
    make_venv "$python"
fi
say "installing the project and what it needs (pinned in constraints.txt; a few minutes the first time)"
# Not compiled: most of the frameworks' modules are never imported, and those that are compile themselves.
.venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-compile --constraint constraints.txt \
    --editable ".[$1]"
touch ".venv/.$2"
[ "$1" != dev ] || touch .venv/.demo
