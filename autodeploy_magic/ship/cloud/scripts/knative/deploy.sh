#!/bin/sh
# Creates the service, or adds a revision that gets CANARY percent of the requests.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
have kubectl
need NAMESPACE
checked_image
release service.yaml canary.yaml
hint='To go on: sh deploy.sh again. Requests go where they went before: sh rollback.sh. To take it down: sh teardown.sh'
private

step "secret $NAME-token"
kubectl --namespace "$NAMESPACE" get secret "$NAME-token" >/dev/null ||
    fail "there is no secret $NAME-token in $NAMESPACE: the README says how to make it"

step 'what is there'
before=$(kubectl --namespace "$NAMESPACE" get services.serving.knative.dev "$NAME" --ignore-not-found \
    --output 'jsonpath={range .status.traffic[*]}{.percent}{" "}{.revisionName}{"\n"}{end}')
before=$(printf '%s\n' "$before" | most_besides "$NAME-$RELEASE")

step "revision $NAME-$RELEASE"
if [ -z "$before" ]; then
    filled service.yaml >"$scratch/service.yaml"
else
    filled canary.yaml "SET_STABLE=$before" >"$scratch/service.yaml"
fi
kubectl --namespace "$NAMESPACE" apply --filename "$scratch/service.yaml" >&2
kubectl --namespace "$NAMESPACE" wait --for condition=Ready --timeout "${WAIT:-300s}" \
    services.serving.knative.dev "$NAME" >&2
if [ -n "$before" ]; then
    say "$NAME-$RELEASE gets $CANARY % of the requests, beside $before. Then: sh promote.sh, or sh rollback.sh"
else
    say "$NAME-$RELEASE gets all requests."
fi
