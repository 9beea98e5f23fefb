#!/bin/sh
# Gives another revision all requests: STABLE, or else the one that shares them now, or else the newest besides this.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
have kubectl
need NAMESPACE
checked_image
release service.yaml canary.yaml
hint='To go on: sh rollback.sh again.'

step 'what is there'
if [ -z "${STABLE-}" ]; then
    STABLE=$(kubectl --namespace "$NAMESPACE" get services.serving.knative.dev "$NAME" --ignore-not-found \
        --output 'jsonpath={range .status.traffic[*]}{.percent}{" "}{.revisionName}{"\n"}{end}')
    STABLE=$(printf '%s\n' "$STABLE" | most_besides "$NAME-$RELEASE")
fi
if [ -z "$STABLE" ]; then # all requests come here: the newest of the others
    revisions=$(kubectl --namespace "$NAMESPACE" get revisions.serving.knative.dev \
        --selector "serving.knative.dev/service=$NAME" --sort-by '{.metadata.creationTimestamp}' \
        --output 'jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}')
    STABLE=$(printf '%s\n' "$revisions" | awk -v one="$NAME-$RELEASE" 'NF && $1 != one { name = $1 } END { print name }')
fi
[ -n "$STABLE" ] || fail 'there is no other revision'
case $STABLE in *[!a-z0-9-]*) fail 'STABLE is not the name of a revision' ;; esac

step "all requests to $STABLE"
kubectl --namespace "$NAMESPACE" patch services.serving.knative.dev "$NAME" --type merge \
    --patch "{\"spec\":{\"traffic\":[{\"revisionName\":\"$STABLE\",\"percent\":100}]}}" >&2
