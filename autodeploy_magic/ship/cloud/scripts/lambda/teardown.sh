#!/bin/sh
# Deletes the stack: function, alias, address, alarms and CodeDeploy. Once gone, again does no harm.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
have aws
need REGION
STACK=${STACK:-$NAME}
hint='To go on: sh teardown.sh again.'

step "stack $STACK"
aws cloudformation delete-stack --region "$REGION" --stack-name "$STACK"
aws cloudformation wait stack-delete-complete --region "$REGION" --stack-name "$STACK"
say "Published versions that were kept to go back to are deleted with: aws lambda delete-function --function-name $NAME"
say 'Images in the registry and logs stay; the README says how to delete them.'
