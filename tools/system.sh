#!/bin/sh
# What some tests use besides Python: a browser for the page, curl, what builds and runs containers, and Prometheus.
# Installed where we may; otherwise those tests are skipped, and say what is missing.
set -eu

missing=""
command -v curl >/dev/null 2>&1 || missing="$missing curl"
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
    command -v google-chrome >/dev/null 2>&1 || missing="$missing chromium"
if [ "$(uname -s)" = Linux ]; then
    for tool in buildah podman runc mmdebstrap skopeo; do
        command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
    done
    command -v newuidmap >/dev/null 2>&1 || missing="$missing uidmap" # Podman of an ordinary user
    # Daemons that the system may start by itself: on a machine that is there for tests, and on no other.
    if [ -n "${CI:-}" ]; then
        command -v dockerd >/dev/null 2>&1 || missing="$missing docker.io"
        command -v promtool >/dev/null 2>&1 || missing="$missing prometheus"
    fi
fi
[ -n "$missing" ] || exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    echo "installing$missing" >&2
    apt-get update -qq >&2 || true
    export DEBIAN_FRONTEND=noninteractive
    # One that another release calls otherwise is no reason to go without the rest.
    # One word for each package.
    # shellcheck disable=SC2086
    apt-get install -qq -y --no-install-recommends $missing >&2 && exit 0
    left=""
    for package in $missing; do
        apt-get install -qq -y --no-install-recommends "$package" >&2 || left="$left $package"
    done
    missing=$left
    [ -n "$missing" ] || exit 0
fi
echo "not installed:$missing. The tests that need them are skipped." >&2
