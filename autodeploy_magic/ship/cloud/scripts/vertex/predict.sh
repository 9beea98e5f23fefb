#!/bin/sh
# Sends request.json to the endpoint, and prints what it answers.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
# shellcheck source=SCRIPTDIR/endpoint.sh
. ./endpoint.sh
have gcloud
need PROJECT REGION
find_endpoint
[ -n "$endpoint" ] || fail "there is no endpoint $NAME: sh deploy.sh"
gcloud ai endpoints predict "$endpoint" --project "$PROJECT" --region "$REGION" --json-request request.json
