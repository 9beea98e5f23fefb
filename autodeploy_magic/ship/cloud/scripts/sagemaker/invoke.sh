#!/bin/sh
# Sends request.json to the endpoint, and prints what it answers.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
have aws
need REGION
private
aws sagemaker-runtime invoke-endpoint --region "$REGION" --endpoint-name "$NAME" \
    --content-type application/json --body fileb://request.json "$scratch/answer.json" >&2
cat "$scratch/answer.json"
