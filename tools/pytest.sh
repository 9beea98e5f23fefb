#!/usr/bin/env bash
# All tests, in two runs side by side: those that compute, at a lower priority, beside those that mostly wait for
# processes, browsers and clocks. Half an hour on two processors instead of three quarters. Arguments go to both.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
computing=(tests/build tests/metrics tests/ship tests/wire tests/test_*.py)

output=$(mktemp)
nice -n 10 "$python" -m pytest -o cache_dir=.pytest_cache/computing "${computing[@]}" "$@" >"$output" 2>&1 &
beside=$!
trap 'kill "$beside" 2>/dev/null || true; rm -f "$output"' EXIT

failed=0
"$python" -m pytest "${computing[@]/#/--ignore=}" "$@" || failed=$?
wait "$beside" || failed=$?
trap 'rm -f "$output"' EXIT
printf '\n=== the tests that compute: %s\n' "${computing[*]}"
cat "$output"
exit "$failed"
