#!/bin/sh
# Gives the revision of this folder all requests; the others stay, to go back to, and cost nothing.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
have gcloud
need PROJECT REGION
checked_image
release service.yaml canary.yaml
hint='To go on: sh promote.sh again. To go back: sh rollback.sh'

step "all requests to $NAME-$RELEASE"
gcloud run services update-traffic "$NAME" --project "$PROJECT" --region "$REGION" \
    --to-revisions "$NAME-$RELEASE=100" --clear-tags >&2
