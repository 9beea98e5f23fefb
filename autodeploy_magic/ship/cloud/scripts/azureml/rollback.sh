#!/bin/sh
# Gives the deployment before this release all requests, and deletes this one.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
# shellcheck source=SCRIPTDIR/slots.sh
. ./slots.sh
have az
need RESOURCE_GROUP WORKSPACE
checked_image
ENDPOINT=${ENDPOINT:-$NAME}
release deployment.yml
hint='To go on: sh rollback.sh again.'

step "endpoint $ENDPOINT"
find_slots
[ -n "$other" ] || fail 'no other version is on the endpoint: deploy the one before from its own folder'

step 'all requests'
traffic=$other=100
if [ -n "$this" ]; then traffic="$other=100 $this=0"; fi
where online-endpoint update --name "$ENDPOINT" --traffic "$traffic" --output none

if [ -n "$this" ]; then
    step "delete $this"
    az monitor autoscale delete --resource-group "$RESOURCE_GROUP" --name "$ENDPOINT-$this"
    where online-deployment delete --name "$this" --endpoint-name "$ENDPOINT" --yes
fi
say "$other gets all requests."
