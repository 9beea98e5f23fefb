#!/bin/sh
# Builds the image of the version, has it scanned, and pushes it. What it is from then on called, by its digest, is kept
# in out/image.env. The registry's login is the engine's own, or REGISTRY_USER and REGISTRY_PASSWORD of the environment.
# shellcheck source=/dev/null
. "$(dirname "$0")/common.sh"

[ -s "$OUT/version.json" ] || fail "nothing was built: run ci/build.sh first"
TAG=$(git -C "$CI_FOLDER" rev-parse --short=12 HEAD) || fail "this is no git repository with a commit"
REFERENCE="$IMAGE_REPOSITORY:$TAG"

set -- --tag "$REFERENCE"
[ -z "$ENGINE" ] || set -- "$@" --engine "$ENGINE"
[ "$ENGINE" != archive ] || set -- "$@" --to "$OUT"
autodeploy --json containerize "$DEPLOYMENT" "$@" >"$OUT/image.json" || fail "no image was built"
"$PYTHON" "$CI_FOLDER/image.py" read || fail "it was not understood what was built: out/image.json"
# shellcheck source=/dev/null
. "$OUT/built.env"

if [ "$BUILT_ENGINE" = archive ]; then
    need skopeo "it pushes an OCI archive"
    rm -rf "$OUT/layout"
    skopeo copy "oci-archive:$BUILT_ARCHIVE" "oci:$OUT/layout" || fail "$BUILT_ARCHIVE cannot be read"
    "$CI_FOLDER/scan.sh" image "$OUT/layout"
    rm -rf "$OUT/layout"
else
    case $BUILT_ENGINE in
    docker | podman | nerdctl)
        container=$("$BUILT_ENGINE" create "$REFERENCE") || fail "no container can be made of $REFERENCE"
        "$BUILT_ENGINE" cp "$container:/app/sbom.cdx.json" "$OUT/sbom.cdx.json" || say "the image holds no SBOM"
        "$BUILT_ENGINE" rm "$container" >/dev/null
        ;;
    esac
    place=$REFERENCE
    case $BUILT_ENGINE in
    podman | buildah) # scanners ask a daemon, or the registry: an image that no daemon has, none of them finds by name
        if command -v trivy >/dev/null 2>&1 || command -v grype >/dev/null 2>&1; then
            place="$OUT/layout"
            rm -rf "$place"
            "$BUILT_ENGINE" push "$REFERENCE" "oci:$place" || fail "$REFERENCE cannot be read"
        fi
        ;;
    esac
    "$CI_FOLDER/scan.sh" image "$place"
    rm -rf "$OUT/layout"
fi

tool=$BUILT_ENGINE
[ "$tool" != archive ] || tool=skopeo
log_in "$tool"

rm -f "$OUT/digest"
case $tool in
skopeo) skopeo copy --digestfile "$OUT/digest" "oci-archive:$BUILT_ARCHIVE" "docker://$REFERENCE" ;;
podman | buildah) "$tool" push --digestfile "$OUT/digest" "$REFERENCE" ;;
docker | nerdctl)
    "$tool" push "$REFERENCE" &&
        "$tool" image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$REFERENCE" >"$OUT/digests" &&
        "$PYTHON" "$CI_FOLDER/image.py" digest
    ;;
*) fail "it is not known how $tool pushes: use docker, podman, buildah, nerdctl or archive" ;;
esac || fail "$REFERENCE was not pushed"
"$PYTHON" "$CI_FOLDER/image.py" pushed || fail "the registry told no digest"
say "pushed $(cat "$OUT/digest") as $REFERENCE"
