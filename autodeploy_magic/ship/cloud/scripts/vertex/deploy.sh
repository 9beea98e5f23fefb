#!/bin/sh
# Uploads the model and deploys it: to an empty endpoint for all requests, beside another version for CANARY percent.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
# shellcheck source=SCRIPTDIR/endpoint.sh
. ./endpoint.sh
have gcloud
need PROJECT REGION
checked_image
release container.flags machine.flags
RELEASE=$NAME-$RELEASE
hint='To go on: sh deploy.sh again; it makes what is missing. To take it down: sh teardown.sh'

step "endpoint $NAME"
find_endpoint
if [ -z "$endpoint" ]; then
    gcloud ai endpoints create --project "$PROJECT" --region "$REGION" --display-name "$NAME" \
        --labels "managed_by=autodeploy-magic,deployment=$NAME" >&2
    find_endpoint
    [ -n "$endpoint" ] || fail "the endpoint $NAME was created, and is not listed yet: try again in a minute"
fi

step "model $RELEASE"
find_model() {
    model=$(gcloud ai models list --project "$PROJECT" --region "$REGION" \
        --filter "display_name=$RELEASE" --format 'value(name)' --limit 1)
}
find_model
if [ -z "$model" ]; then
    gcloud ai models upload --project "$PROJECT" --region "$REGION" --display-name "$RELEASE" \
        --container-image-uri "$IMAGE" --flags-file container.flags \
        --labels "managed_by=autodeploy-magic,deployment=$NAME,version=$VERSION" >&2
    find_model
    [ -n "$model" ] || fail "the model $RELEASE was uploaded, and is not listed yet: try again in a minute"
fi

step "deploy $RELEASE"
find_deployed
before=$(id_besides "$RELEASE")
if [ -n "$(id_of "$RELEASE")" ]; then
    say "$RELEASE is on the endpoint already."
elif [ "$count" -gt 1 ]; then
    fail 'two versions are on the endpoint already: sh promote.sh or sh rollback.sh ends that, in the folder of the newer'
else
    split=0=100
    if [ "$count" -eq 1 ]; then split=0=$CANARY,$before=$((100 - CANARY)); fi
    gcloud ai endpoints deploy-model "$endpoint" --project "$PROJECT" --region "$REGION" --model "$model" \
        --display-name "$RELEASE" --traffic-split "$split" --flags-file machine.flags >&2
fi
if [ -n "$before" ]; then
    say "$RELEASE gets $CANARY % of the requests. Then: sh promote.sh, or sh rollback.sh"
else
    say "$RELEASE gets all requests. Try it: sh predict.sh"
fi
