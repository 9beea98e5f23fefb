#!/bin/sh
# Deploys into the free one of blue and green: the first gets all requests, a second CANARY percent.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
# shellcheck source=SCRIPTDIR/slots.sh
. ./slots.sh
have az
need RESOURCE_GROUP WORKSPACE
checked_image
ENDPOINT=${ENDPOINT:-$NAME}
release deployment.yml
hint='To go on: sh deploy.sh again; it makes what is missing. To take it down: sh teardown.sh'

step "endpoint $ENDPOINT"
there=$(where online-endpoint list --query "[?name=='$ENDPOINT'].name" --output tsv)
if [ -z "$there" ]; then
    where online-endpoint create --name "$ENDPOINT" --file endpoint.yml --output none
fi

step "deploy $RELEASE"
find_slots
if [ -z "$this" ]; then
    if [ "$count" -gt 1 ]; then
        fail 'blue and green are both taken: sh promote.sh or sh rollback.sh ends that, in the folder of the newer'
    fi
    slot=blue
    if [ "$other" = blue ]; then slot=green; fi
    where online-deployment create --name "$slot" --endpoint-name "$ENDPOINT" --file deployment.yml \
        --set "environment.image=$IMAGE" --set "tags.release=$RELEASE" --output none
    this=$slot
fi

step 'scaling'
id=$(where online-deployment show --name "$this" --endpoint-name "$ENDPOINT" --query id --output tsv)
az monitor autoscale create --resource-group "$RESOURCE_GROUP" --name "$ENDPOINT-$this" --resource "$id" \
    --min-count "$MIN_INSTANCES" --max-count "$MAX_INSTANCES" --count "$MIN_INSTANCES" --output none
rules=$(az monitor autoscale rule list --resource-group "$RESOURCE_GROUP" --autoscale-name "$ENDPOINT-$this" \
    --query 'length(@)' --output tsv)
if [ "$rules" = 0 ]; then
    az monitor autoscale rule create --resource-group "$RESOURCE_GROUP" --autoscale-name "$ENDPOINT-$this" \
        --condition "CpuUtilizationPercentage > 60 avg 5m" --scale out 1 --output none
    az monitor autoscale rule create --resource-group "$RESOURCE_GROUP" --autoscale-name "$ENDPOINT-$this" \
        --condition "CpuUtilizationPercentage < 25 avg 10m" --scale in 1 --output none
fi

step 'requests'
if [ -n "$other" ]; then
    where online-endpoint update --name "$ENDPOINT" --traffic "$this=$CANARY $other=$((100 - CANARY))" --output none
    say "$RELEASE in $this gets $CANARY % of the requests. Then: sh promote.sh, or sh rollback.sh"
else
    where online-endpoint update --name "$ENDPOINT" --traffic "$this=100" --output none
    say "$RELEASE in $this gets all requests. Try it: sh invoke.sh"
fi
