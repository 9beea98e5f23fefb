#!/bin/sh
# Builds the version from what is in the repository: runs BUILD, which has to deploy it on this machine.
# shellcheck source=/dev/null
. "$(dirname "$0")/common.sh"

need autodeploy "ci/install.sh installs it"
rm -rf "$OUT"
mkdir -p "$OUT"
if autodeploy --json status "$DEPLOYMENT" >/dev/null 2>&1; then
    # An earlier build left it on this machine. It is stopped, so that it runs again only if BUILD deploys it.
    autodeploy stop "$DEPLOYMENT" >/dev/null || fail "$DEPLOYMENT, which an earlier build left, does not stop"
fi
cd "$CI_FOLDER/.." || exit 1
say "running: $BUILD"
sh -c "$BUILD" || fail "this command ended with an error: $BUILD"
autodeploy --json versions "$DEPLOYMENT" >"$OUT/versions.json" ||
    fail "there is no deployment $DEPLOYMENT after it: BUILD has to deploy one of that name"
autodeploy --json status "$DEPLOYMENT" >"$OUT/status.json" || fail "it is not known how $DEPLOYMENT is"
"$PYTHON" "$CI_FOLDER/version.py" || fail "no version was built"
