#!/bin/sh
# What some tests use besides Python: a browser for the page, and curl. Installed where we may; otherwise those tests
# are skipped, and say what is missing.
set -eu

missing=""
command -v curl >/dev/null 2>&1 || missing="$missing curl"
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
    command -v google-chrome >/dev/null 2>&1 || missing="$missing chromium"
[ -n "$missing" ] || exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    echo "installing$missing" >&2
    # shellcheck disable=SC2086 - one word for each package
    if apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >&2; then
        exit 0
    fi
fi
echo "not installed:$missing. The tests that need them are skipped." >&2
