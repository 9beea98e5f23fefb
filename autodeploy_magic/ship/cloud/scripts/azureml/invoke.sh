#!/bin/sh
# Sends request.json to the endpoint, and prints what it answers.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
# shellcheck source=SCRIPTDIR/slots.sh
. ./slots.sh
have az
need RESOURCE_GROUP WORKSPACE
where online-endpoint invoke --name "${ENDPOINT:-$NAME}" --request-file request.json
