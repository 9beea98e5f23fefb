#!/bin/sh
# Creates the stack of template.yaml, or updates it: a new image gets a new fleet, and traffic as the template says.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
have aws
need REGION ROLE_ARN
checked_image
case $IMAGE in *@sha256:*) ;; *) fail "IMAGE is $IMAGE, and the stack takes a digest alone: NAME@sha256:..." ;; esac
STACK=${STACK:-$NAME}
hint='To go on: sh deploy.sh again. A first try that failed has to be taken down before that: sh teardown.sh'

step 'what is there'
before=$(aws cloudformation describe-stacks --region "$REGION" --stack-name "$STACK" \
    --query "Stacks[0].Parameters[?ParameterKey=='Image'].ParameterValue | [0]" --output text 2>/dev/null) || before=

step "stack $STACK"
aws cloudformation deploy --region "$REGION" --stack-name "$STACK" --template-file template.yaml \
    --no-fail-on-empty-changeset --parameter-overrides "Image=$IMAGE" "RoleArn=$ROLE_ARN" \
    --tags "managed-by=autodeploy-magic" "deployment=$NAME" "version=$VERSION" >&2

step "endpoint $NAME"
aws sagemaker wait endpoint-in-service --region "$REGION" --endpoint-name "$NAME"
say "$NAME serves $VERSION. Try it: sh invoke.sh"
if [ -n "$before" ] && [ "$before" != "$IMAGE" ] && [ "$before" != None ]; then
    say "To go back: IMAGE=$before sh deploy.sh"
fi
