#!/bin/sh
# Gives this release all requests, and deletes the deployment before it.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
# shellcheck source=SCRIPTDIR/slots.sh
. ./slots.sh
have az
need RESOURCE_GROUP WORKSPACE
checked_image
ENDPOINT=${ENDPOINT:-$NAME}
release deployment.yml
hint='To go on: sh promote.sh again. To go back: sh rollback.sh'

step "endpoint $ENDPOINT"
find_slots
[ -n "$this" ] || fail "$RELEASE is not on the endpoint: sh deploy.sh"

step 'all requests'
traffic=$this=100
if [ -n "$other" ]; then traffic="$this=100 $other=0"; fi
where online-endpoint update --name "$ENDPOINT" --traffic "$traffic" --output none

if [ -n "$other" ]; then
    step "delete $other"
    az monitor autoscale delete --resource-group "$RESOURCE_GROUP" --name "$ENDPOINT-$other"
    where online-deployment delete --name "$other" --endpoint-name "$ENDPOINT" --yes
fi
say "$RELEASE in $this gets all requests."
