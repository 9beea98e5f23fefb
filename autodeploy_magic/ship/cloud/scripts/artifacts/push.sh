#!/bin/sh
# Brings the image into Artifact Registry, and prints its name there with its digest. Again does no harm.
# IMAGE=$(sh push.sh) && export IMAGE
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
# shellcheck source=SCRIPTDIR/registry.sh
. ./registry.sh
REPOSITORY=${REPOSITORY:-models}
have gcloud
need PROJECT REGION
find_engine
hint='Nothing is to be taken back: sh push.sh goes on where it stopped.'
host=$REGION-docker.pkg.dev
place=$host/$PROJECT/$REPOSITORY/$NAME

step "repository $REPOSITORY"
gcloud artifacts repositories describe "$REPOSITORY" --project "$PROJECT" --location "$REGION" >/dev/null 2>&1 ||
    gcloud artifacts repositories create "$REPOSITORY" --project "$PROJECT" --location "$REGION" \
        --repository-format docker >&2

step "log $ENGINE in"
gcloud auth print-access-token | log_in "$host" oauth2accesstoken

step "push $place:$VERSION"
upload "$place:$VERSION"

step 'digest'
digest=$(gcloud artifacts docker images describe "$place:$VERSION" --project "$PROJECT" \
    --format 'value(image_summary.digest)')
case $digest in sha256:*) ;; *) fail "the registry gives no digest of $place:$VERSION" ;; esac
printf '%s@%s\n' "$place" "$digest"
