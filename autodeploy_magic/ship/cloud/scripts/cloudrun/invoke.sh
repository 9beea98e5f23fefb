#!/bin/sh
# Sends request.json to the service, and prints what it answers. The token goes through a file, not a command line.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
have gcloud
have curl
need PROJECT REGION
private
url=$(gcloud run services describe "$NAME" --project "$PROJECT" --region "$REGION" --format 'value(status.url)')
umask 077
if [ "${ACCESS-}" = token ]; then
    need TOKEN_SECRET
    token=$(gcloud secrets versions access latest --secret "$TOKEN_SECRET" --project "$PROJECT")
else
    token=$(gcloud auth print-identity-token)
fi
printf 'Authorization: Bearer %s\n' "$token" >"$scratch/header"
curl --fail-with-body --silent --show-error --header "@$scratch/header" \
    --header 'Content-Type: application/json' --data-binary @request.json "$url/predict"
