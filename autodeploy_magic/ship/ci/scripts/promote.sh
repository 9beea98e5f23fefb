#!/bin/sh
# Lets the rolling update go on to its end: the new image serves alone.
# shellcheck source=/dev/null
. "$(dirname "$0")/common.sh"

[ -s "$OUT/match" ] || fail "no canary runs: run ci/canary.sh first"
# shellcheck source=/dev/null
. "$OUT/image.env"
if [ -n "$DEPLOY_HOOK" ]; then
    "$DEPLOY_HOOK" promote "$IMAGE" || fail "$DEPLOY_HOOK could not promote it"
else
    kubectl --namespace "$NAMESPACE" rollout resume "deployment/$KUBE_DEPLOYMENT" || fail "it cannot go on"
    kubectl --namespace "$NAMESPACE" rollout status "deployment/$KUBE_DEPLOYMENT" --timeout="${READY_S}s" ||
        fail "the update did not come to its end"
fi
rm -f "$OUT/before.env" "$OUT/match"
say "$IMAGE serves"
