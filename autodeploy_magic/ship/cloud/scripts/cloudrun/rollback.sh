#!/bin/sh
# Gives another revision all requests: STABLE, or else the one that shares them now, or else the newest besides this.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
have gcloud
need PROJECT REGION
checked_image
release service.yaml canary.yaml
hint='To go on: sh rollback.sh again.'

step 'what is there'
if [ -z "${STABLE-}" ]; then
    STABLE=$(gcloud run services describe "$NAME" --project "$PROJECT" --region "$REGION" \
        --flatten 'status.traffic[]' --format 'value(status.traffic.percent,status.traffic.revisionName)')
    STABLE=$(printf '%s\n' "$STABLE" | most_besides "$NAME-$RELEASE")
fi
if [ -z "$STABLE" ]; then # all requests come here: the newest of the others
    revisions=$(gcloud run revisions list --service "$NAME" --project "$PROJECT" --region "$REGION" \
        --sort-by '~metadata.creationTimestamp' --format 'value(metadata.name)')
    STABLE=$(printf '%s\n' "$revisions" | awk -v one="$NAME-$RELEASE" 'NF && $1 != one { print $1; exit }')
fi
[ -n "$STABLE" ] || fail 'there is no other revision'

step "all requests to $STABLE"
gcloud run services update-traffic "$NAME" --project "$PROJECT" --region "$REGION" \
    --to-revisions "$STABLE=100" --clear-tags >&2
