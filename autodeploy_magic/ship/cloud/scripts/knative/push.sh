#!/bin/sh
# Brings the image to REPOSITORY ("registry.example.com/team/iris"), and prints its name there. Log in there first.
# IMAGE=$(sh push.sh) && export IMAGE
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
# shellcheck source=SCRIPTDIR/registry.sh
. ./registry.sh
need REPOSITORY
find_engine
hint='Nothing is to be taken back: sh push.sh goes on where it stopped.'

step "push $REPOSITORY:$VERSION"
upload "$REPOSITORY:$VERSION"
if command -v skopeo >/dev/null 2>&1; then
    digest=$(skopeo inspect --format '{{.Digest}}' "docker://$REPOSITORY:$VERSION")
    printf '%s@%s\n' "$REPOSITORY" "$digest"
else
    say 'skopeo is not installed: the tag is named, not the digest. Knative looks the digest up itself.'
    printf '%s:%s\n' "$REPOSITORY" "$VERSION"
fi
