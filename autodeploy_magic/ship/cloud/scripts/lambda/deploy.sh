#!/bin/sh
# Creates the stack of template.yaml, or updates it: a new image gets a share of the calls first (CodeDeploy).
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
have aws
need REGION EXECUTION_ROLE_ARN CODEDEPLOY_ROLE_ARN
checked_image
case $IMAGE in *@sha256:*) ;; *) fail "IMAGE is $IMAGE, and the stack takes a digest alone: NAME@sha256:..." ;; esac
STACK=${STACK:-$NAME}
hint='To go on: sh deploy.sh again. A first try that failed has to be taken down before that: sh teardown.sh'

step 'what is there'
before=$(aws cloudformation describe-stacks --region "$REGION" --stack-name "$STACK" \
    --query "Stacks[0].Parameters[?ParameterKey=='Image'].ParameterValue | [0]" --output text 2>/dev/null) || before=

step "stack $STACK"
aws cloudformation deploy --region "$REGION" --stack-name "$STACK" --template-file template.yaml \
    --no-fail-on-empty-changeset --parameter-overrides "Image=$IMAGE" \
    "ExecutionRoleArn=$EXECUTION_ROLE_ARN" "CodeDeployRoleArn=$CODEDEPLOY_ROLE_ARN" \
    --tags "managed-by=autodeploy-magic" "deployment=$NAME" "version=$VERSION" >&2

step 'address'
url=$(aws cloudformation describe-stacks --region "$REGION" --stack-name "$STACK" \
    --query "Stacks[0].Outputs[?OutputKey=='Url'].OutputValue | [0]" --output text)
say "$NAME serves $VERSION at $url, for those whom IAM lets in. Try it: sh invoke.sh"
if [ -n "$before" ] && [ "$before" != "$IMAGE" ] && [ "$before" != None ]; then
    say "To go back: IMAGE=$before sh deploy.sh"
fi
