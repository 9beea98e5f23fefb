#!/bin/sh
# The same as deploy.sh without CloudFormation: from the files in cli/, each call of the aws command on its own.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
have aws
need REGION ROLE_ARN
checked_image
hint='To go on: sh create.sh again; it makes what is missing. To take it down: sh delete.sh'
release cli/model.json cli/endpoint-config.json
RELEASE=$NAME-$RELEASE
private

for file in cli/*.json; do
    filled "$file" "SET_ROLE_ARN=$ROLE_ARN" "SET_REGION=$REGION" >"$scratch/${file#cli/}"
done

step "model $RELEASE"
aws sagemaker describe-model --region "$REGION" --model-name "$RELEASE" >/dev/null 2>&1 ||
    aws sagemaker create-model --region "$REGION" --cli-input-json "file://$scratch/model.json" >&2

step "endpoint configuration $RELEASE"
aws sagemaker describe-endpoint-config --region "$REGION" --endpoint-config-name "$RELEASE" >/dev/null 2>&1 ||
    aws sagemaker create-endpoint-config --region "$REGION" \
        --cli-input-json "file://$scratch/endpoint-config.json" >&2

step 'alarms'
for file in "$scratch"/alarm-*.json; do
    aws cloudwatch put-metric-alarm --region "$REGION" --cli-input-json "file://$file"
done

step "endpoint $NAME"
if ! serving=$(aws sagemaker describe-endpoint --region "$REGION" --endpoint-name "$NAME" \
    --query EndpointConfigName --output text 2>/dev/null); then
    aws sagemaker create-endpoint --region "$REGION" --endpoint-name "$NAME" --endpoint-config-name "$RELEASE" >&2
elif [ "$serving" != "$RELEASE" ]; then
    aws sagemaker update-endpoint --region "$REGION" --cli-input-json "file://$scratch/endpoint.json" >&2
fi
aws sagemaker wait endpoint-in-service --region "$REGION" --endpoint-name "$NAME"

if [ -f "$scratch/scalable-target.json" ]; then
    step 'scaling'
    aws application-autoscaling register-scalable-target --region "$REGION" \
        --cli-input-json "file://$scratch/scalable-target.json" >&2
    aws application-autoscaling put-scaling-policy --region "$REGION" \
        --cli-input-json "file://$scratch/scaling-policy.json" >&2
fi
say "$NAME serves $VERSION. Try it: sh invoke.sh"
