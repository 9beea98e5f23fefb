#!/bin/sh
# Deletes the endpoint with all that is deployed to it, and its autoscaling.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
# shellcheck source=SCRIPTDIR/slots.sh
. ./slots.sh
have az
need RESOURCE_GROUP WORKSPACE
ENDPOINT=${ENDPOINT:-$NAME}
hint='To go on: sh teardown.sh again.'

step 'scaling'
for one in $(az monitor autoscale list --resource-group "$RESOURCE_GROUP" --query '[].name' --output tsv); do
    case $one in
        "$ENDPOINT"-blue | "$ENDPOINT"-green)
            az monitor autoscale delete --resource-group "$RESOURCE_GROUP" --name "$one"
            ;;
    esac
done

step "endpoint $ENDPOINT"
there=$(where online-endpoint list --query "[?name=='$ENDPOINT'].name" --output tsv)
if [ -n "$there" ]; then
    where online-endpoint delete --name "$ENDPOINT" --yes
fi
say 'Images in the registry, the environment and logs stay; the README says how to delete them.'
