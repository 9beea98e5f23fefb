#!/bin/sh
# Gives the revision of this folder all requests; the others stay, to go back to.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
have kubectl
need NAMESPACE
checked_image
release service.yaml canary.yaml
hint='To go on: sh promote.sh again. To go back: sh rollback.sh'
private

step "all requests to $NAME-$RELEASE"
filled service.yaml >"$scratch/service.yaml"
kubectl --namespace "$NAMESPACE" apply --filename "$scratch/service.yaml" >&2
