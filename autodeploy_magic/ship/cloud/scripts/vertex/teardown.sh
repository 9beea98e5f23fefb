#!/bin/sh
# Takes every model off the endpoint, then deletes the endpoint and the models of this deployment.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
# shellcheck source=SCRIPTDIR/endpoint.sh
. ./endpoint.sh
have gcloud
need PROJECT REGION
hint='To go on: sh teardown.sh again.'

step "endpoint $NAME"
find_endpoint
if [ -n "$endpoint" ]; then
    find_deployed
    for one in $(printf '%s\n' "$deployed" | awk 'NF { print $1 }'); do
        gcloud ai endpoints undeploy-model "$endpoint" --project "$PROJECT" --region "$REGION" \
            --deployed-model-id "$one" >&2
    done
    gcloud ai endpoints delete "$endpoint" --project "$PROJECT" --region "$REGION" --quiet >&2
fi

step 'models'
models=$(gcloud ai models list --project "$PROJECT" --region "$REGION" \
    --filter "labels.deployment=\"$NAME\" AND labels.managed_by=\"autodeploy-magic\"" \
    --format 'value(name,displayName)')
for one in $(printf '%s\n' "$models" | awk -v prefix="$NAME-v" 'index($2, prefix) == 1 { print $1 }'); do
    gcloud ai models delete "$one" --project "$PROJECT" --region "$REGION" --quiet >&2
done
say 'Images in the registry and logs stay; the README says how to delete them.'
