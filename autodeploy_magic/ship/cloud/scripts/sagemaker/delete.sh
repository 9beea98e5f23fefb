#!/bin/sh
# Takes down what create.sh made: scaling, endpoint, alarms, and each configuration and model of this deployment.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
have aws
need REGION
hint='To go on: sh delete.sh again.'

step 'scaling' # first: its own alarms would outlive the endpoint
target=endpoint/$NAME/variant/AllTraffic
scaled=$(aws application-autoscaling describe-scalable-targets --region "$REGION" --service-namespace sagemaker \
    --resource-ids "$target" --query 'ScalableTargets[].ResourceId' --output text)
if [ "$scaled" = "$target" ]; then
    aws application-autoscaling deregister-scalable-target --region "$REGION" --service-namespace sagemaker \
        --resource-id "$target" --scalable-dimension sagemaker:variant:DesiredInstanceCount
fi

step "endpoint $NAME"
if aws sagemaker describe-endpoint --region "$REGION" --endpoint-name "$NAME" >/dev/null 2>&1; then
    aws sagemaker delete-endpoint --region "$REGION" --endpoint-name "$NAME"
    aws sagemaker wait endpoint-deleted --region "$REGION" --endpoint-name "$NAME"
fi

step 'alarms'
aws cloudwatch delete-alarms --region "$REGION" --alarm-names "$NAME-errors" "$NAME-latency"

step 'configurations and models'
for one in $(aws sagemaker list-endpoint-configs --region "$REGION" --name-contains "$NAME-v" \
    --query 'EndpointConfigs[].EndpointConfigName' --output text); do
    case $one in "$NAME"-v[0-9]*) aws sagemaker delete-endpoint-config --region "$REGION" --endpoint-config-name "$one" ;; esac
done
for one in $(aws sagemaker list-models --region "$REGION" --name-contains "$NAME-v" \
    --query 'Models[].ModelName' --output text); do
    case $one in "$NAME"-v[0-9]*) aws sagemaker delete-model --region "$REGION" --model-name "$one" ;; esac
done
say 'Images in the registry and logs stay; the README says how to delete them.'
