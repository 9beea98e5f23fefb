#!/bin/sh
# Gives this release all requests, and takes the other one off the endpoint; its model stays, to go back to.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
# shellcheck source=SCRIPTDIR/endpoint.sh
. ./endpoint.sh
have gcloud
need PROJECT REGION
checked_image
release container.flags machine.flags
RELEASE=$NAME-$RELEASE
hint='To go on: sh promote.sh again. To go back: sh rollback.sh'

step "endpoint $NAME"
find_endpoint
[ -n "$endpoint" ] || fail "there is no endpoint $NAME: sh deploy.sh"
find_deployed
this=$(id_of "$RELEASE")
[ -n "$this" ] || fail "$RELEASE is not on the endpoint: sh deploy.sh"

step 'all requests'
gcloud ai endpoints update "$endpoint" --project "$PROJECT" --region "$REGION" --traffic-split "$this=100" >&2

step 'the other one'
other=$(id_besides "$RELEASE")
if [ -n "$other" ]; then
    gcloud ai endpoints undeploy-model "$endpoint" --project "$PROJECT" --region "$REGION" \
        --deployed-model-id "$other" >&2
fi
say "$RELEASE gets all requests."
