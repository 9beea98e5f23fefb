#!/bin/sh
# Makes the image that images of the tests stand on: a tar of a small Debian with Python and nothing else, about 53 MB,
# out of Debian's packages alone. With the argument "full" one that BentoML's own recipe works on (177 MB), for the
# benchmarks. Made once and kept; prints where it is. A change of this file makes it anew.
# Where mmdebstrap is missing, or packages cannot be had, it says so and exits with 3.
set -eu

release=bookworm
case "${1:-small}" in
    small)
        kind=small
        variant=extract
        packages=base-files,libc6,python3.11-minimal,libpython3.11-stdlib,dash,libstdc++6,zlib1g
        ;;
    full)
        kind=full
        variant=minbase
        packages=python3,python3-venv,ca-certificates
        ;;
    *)
        echo "usage: $0 [small|full]" >&2
        exit 2
        ;;
esac

cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/autodeploy-magic-tests
key=$(sha256sum "$0" | cut -c 1-16)
target=$cache/base-$kind-$key-$(dpkg --print-architecture 2>/dev/null || uname -m).tar
if [ -s "$target" ]; then
    echo "$target"
    exit 0
fi
command -v mmdebstrap >/dev/null 2>&1 || { echo "mmdebstrap is not installed" >&2; exit 3; }

mkdir -p "$cache"
part=$(mktemp "$cache/part-XXXXXX")
trap 'rm -f "$part"' EXIT
# The whole tar or none: it is moved to its place when it is complete.
if ! mmdebstrap --quiet --variant="$variant" --include="$packages" --format=tar "$release" - >"$part"; then
    echo "mmdebstrap could not make a base image" >&2
    exit 3
fi
rm -f "$cache/base-$kind-"*.tar
chmod 0644 "$part"
mv "$part" "$target"
echo "$target"
