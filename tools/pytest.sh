#!/usr/bin/env bash
# All tests, in two lanes side by side, of about the same length: one drives browsers, kernels and clients; the other
# computes, at a lower priority, and then tests what serves. Arguments go to all of them.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
computing=(tests/build tests/metrics tests/operate/retune tests/reservoir tests/ship tests/wire tests/test_*.py)
serving=(tests/serve tests/supervisor)
second=("${computing[@]}" "${serving[@]}")

output=$(mktemp)
beside() {
    local failed=0
    nice -n 10 "$python" -m pytest -o cache_dir=.pytest_cache/computing "${computing[@]}" "$@" || failed=$?
    "$python" -m pytest -o cache_dir=.pytest_cache/serving "${serving[@]}" "$@" || failed=$?
    return "$failed"
}
beside "$@" >"$output" 2>&1 &
lane=$!
trap 'pkill -P "$lane" 2>/dev/null || true; kill "$lane" 2>/dev/null || true; rm -f "$output"' EXIT

failed=0
"$python" -m pytest "${second[@]/#/--ignore=}" "$@" || failed=$?
wait "$lane" || failed=$?
trap 'rm -f "$output"' EXIT
printf '\n=== the second lane: %s\n' "${second[*]}"
cat "$output"
exit "$failed"
