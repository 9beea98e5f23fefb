#!/bin/sh
# Deletes the service with its revisions. Once gone, again does no harm.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
have gcloud
need PROJECT REGION
hint='To go on: sh teardown.sh again.'

step "service $NAME"
if gcloud run services describe "$NAME" --project "$PROJECT" --region "$REGION" >/dev/null 2>&1; then
    gcloud run services delete "$NAME" --project "$PROJECT" --region "$REGION" --quiet >&2
fi
say 'The secret, images in the registry and logs stay; the README says how to delete them.'
