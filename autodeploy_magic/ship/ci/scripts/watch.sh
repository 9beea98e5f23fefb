#!/bin/sh
# Watches the canary for BAKE_S seconds by what Prometheus has of it, against the promises of ci/slo.json.
# shellcheck source=/dev/null
. "$(dirname "$0")/common.sh"

[ -s "$OUT/match" ] || fail "no canary runs: run ci/canary.sh first"
[ -n "${PROMETHEUS_URL:-}" ] || fail "PROMETHEUS_URL is not set, in ci/settings.env: nobody would see a broken promise"
"$PYTHON" "$CI_FOLDER/watch.py" || fail "the canary was not proved: roll it back"
