#!/bin/sh
# Brings the image into the account's own registry (ECR), and prints its name there with its digest. Again does no harm.
# IMAGE=$(sh push.sh) && export IMAGE
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
# shellcheck source=SCRIPTDIR/registry.sh
. ./registry.sh
REPOSITORY=${REPOSITORY:-$NAME}
have aws
need REGION
find_engine
hint='Nothing is to be taken back: sh push.sh goes on where it stopped.'

step "repository $REPOSITORY"
if ! uri=$(aws ecr describe-repositories --region "$REGION" --repository-names "$REPOSITORY" \
    --query 'repositories[0].repositoryUri' --output text 2>/dev/null); then
    uri=$(aws ecr create-repository --region "$REGION" --repository-name "$REPOSITORY" \
        --image-scanning-configuration scanOnPush=true --query repository.repositoryUri --output text)
fi

step "log $ENGINE in"
aws ecr get-login-password --region "$REGION" | log_in "${uri%%/*}" AWS

step "push $uri:$VERSION"
upload "$uri:$VERSION"

step 'digest'
digest=$(aws ecr describe-images --region "$REGION" --repository-name "$REPOSITORY" \
    --image-ids "imageTag=$VERSION" --query 'imageDetails[0].imageDigest' --output text)
case $digest in sha256:*) ;; *) fail "the registry gives no digest of $uri:$VERSION" ;; esac
printf '%s@%s\n' "$uri" "$digest"
