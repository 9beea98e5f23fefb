#!/bin/sh
# Replays what was proved: the new version's own sample, and the answers that ci/reference holds of the version shipped.
# shellcheck source=/dev/null
. "$(dirname "$0")/common.sh"

[ -s "$OUT/version.json" ] || fail "nothing was built: run ci/build.sh first"
autodeploy test "$DEPLOYMENT" --rows 8 || fail "it does not answer its own sample as it was verified"
if autodeploy --json diff "$DEPLOYMENT" >"$OUT/diff.json" 2>"$OUT/diff.err"; then
    say "what differs from the version before it is in out/diff.json"
else
    rm -f "$OUT/diff.json"
    say "no version before it is kept on this machine: nothing to diff with"
fi
if [ -f "$CI_FOLDER/reference/sample.json" ]; then
    autodeploy --json token "$DEPLOYMENT" --show | "$PYTHON" "$CI_FOLDER/parity.py" ||
        fail "the answers are not those of the version that was shipped"
else
    say "not run: there is no ci/reference with the answers of a version before"
fi
