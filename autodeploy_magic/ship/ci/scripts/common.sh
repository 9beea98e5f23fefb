# shellcheck shell=sh
# What every step begins with: where things are, the settings, and how a failure is told. Read by the others with `.`.
set -eu

CI_FOLDER=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
OUT="$CI_FOLDER/out"
STEP=$(basename -- "$0" .sh)
PYTHON=${PYTHON:-python3}

say() {
    printf '%s: %s\n' "$STEP" "$1"
}

fail() {
    printf '%s: FAILED: %s\n' "$STEP" "$1" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null 2>&1 || fail "$1 is not installed: $2"
}

# log_in TOOL: to the registry of the images, where the CI's secret store holds a password; else the tool's own login.
log_in() {
    [ -n "${REGISTRY_PASSWORD:-}" ] || return 0
    printf '%s' "$REGISTRY_PASSWORD" |
        "$1" login --username "${REGISTRY_USER:?}" --password-stdin "${IMAGE_REPOSITORY%%/*}" >&2 ||
        fail "${IMAGE_REPOSITORY%%/*} refused the login of $1"
}

[ -r "$CI_FOLDER/settings.env" ] || fail "ci/settings.env is missing: ship ci again, or take it from an earlier commit"
set -a
# shellcheck source=/dev/null
. "$CI_FOLDER/settings.env"
set +a
export OUT
[ ! -s "$CI_FOLDER/.kubeconfig" ] || export KUBECONFIG="$CI_FOLDER/.kubeconfig"
