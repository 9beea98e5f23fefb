#!/bin/sh
# Calls the function with the event of event.json, as its address would, and prints what it answers.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
have aws
need REGION
private
aws lambda invoke --region "$REGION" --function-name "$NAME:live" \
    --cli-binary-format raw-in-base64-out --payload fileb://event.json "$scratch/answer.json" >&2
cat "$scratch/answer.json"
