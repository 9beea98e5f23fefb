#!/bin/sh
# Ends what the steps started on this machine. What they wrote stays in out/.
# shellcheck source=/dev/null
. "$(dirname "$0")/common.sh"

if autodeploy --json status "$DEPLOYMENT" >/dev/null 2>&1; then
    autodeploy stop "$DEPLOYMENT" >/dev/null || fail "$DEPLOYMENT does not stop on this machine"
fi
rm -f "$CI_FOLDER/.kubeconfig"
say "done"
