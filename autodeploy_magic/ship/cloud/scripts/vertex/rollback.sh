#!/bin/sh
# Gives the release before this one all requests, and takes this one off the endpoint.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
# shellcheck source=SCRIPTDIR/endpoint.sh
. ./endpoint.sh
have gcloud
need PROJECT REGION
checked_image
release container.flags machine.flags
RELEASE=$NAME-$RELEASE
hint='To go on: sh rollback.sh again.'

step "endpoint $NAME"
find_endpoint
[ -n "$endpoint" ] || fail "there is no endpoint $NAME"
find_deployed
other=$(id_besides "$RELEASE")
[ -n "$other" ] || fail "no other version is on the endpoint: deploy the one before from its own folder"

step 'all requests'
gcloud ai endpoints update "$endpoint" --project "$PROJECT" --region "$REGION" --traffic-split "$other=100" >&2

step 'this one'
this=$(id_of "$RELEASE")
if [ -n "$this" ]; then
    gcloud ai endpoints undeploy-model "$endpoint" --project "$PROJECT" --region "$REGION" \
        --deployed-model-id "$this" >&2
fi
say 'The release before gets all requests.'
