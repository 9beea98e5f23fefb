#!/bin/sh
# Brings back the image that served before the canary. Where nothing was changed, nothing is done; it can run twice.
# shellcheck source=/dev/null
. "$(dirname "$0")/common.sh"

if [ ! -s "$OUT/before.env" ]; then
    say "nothing was changed, so there is nothing to take back"
    exit 0
fi
# shellcheck source=/dev/null
. "$OUT/before.env"
if [ -n "$DEPLOY_HOOK" ]; then
    "$DEPLOY_HOOK" rollback "$BEFORE" || fail "$DEPLOY_HOOK could not roll back: look at once"
else
    kubectl --namespace "$NAMESPACE" set image "deployment/$KUBE_DEPLOYMENT" "$CONTAINER=$BEFORE" ||
        fail "the former image cannot be set: look at once"
    kubectl --namespace "$NAMESPACE" rollout resume "deployment/$KUBE_DEPLOYMENT" ||
        say "it was not paused"
    kubectl --namespace "$NAMESPACE" rollout status "deployment/$KUBE_DEPLOYMENT" --timeout="${READY_S}s" ||
        fail "the former image does not become ready: look at once"
fi
rm -f "$OUT/before.env" "$OUT/match"
say "rolled back to ${BEFORE:-what served before}"
