#!/bin/sh
# Brings the image into the registry REGISTRY (ACR), and prints its name there with its digest. Again does no harm.
# IMAGE=$(sh push.sh) && export IMAGE
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
# shellcheck source=SCRIPTDIR/registry.sh
. ./registry.sh
REPOSITORY=${REPOSITORY:-$NAME}
have az
need REGISTRY
find_engine
hint='Nothing is to be taken back: sh push.sh goes on where it stopped.'

step "registry $REGISTRY"
host=$(az acr show --name "$REGISTRY" --query loginServer --output tsv)

step "log $ENGINE in"
az acr login --name "$REGISTRY" --expose-token --query accessToken --output tsv |
    log_in "$host" 00000000-0000-0000-0000-000000000000

step "push $host/$REPOSITORY:$VERSION"
upload "$host/$REPOSITORY:$VERSION"

step 'digest'
digest=$(az acr manifest show-metadata --registry "$REGISTRY" --name "$REPOSITORY:$VERSION" --query digest --output tsv)
case $digest in sha256:*) ;; *) fail "the registry gives no digest of $host/$REPOSITORY:$VERSION" ;; esac
printf '%s/%s@%s\n' "$host" "$REPOSITORY" "$digest"
