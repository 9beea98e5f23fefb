#!/bin/sh
# Signs the pushed image by its digest, and attests where it comes from. SIGNING is keyless, by the identity that the CI
# gives its job, or key, with COSIGN_PRIVATE_KEY and COSIGN_PASSWORD from the CI's secret store; or off.
# shellcheck source=/dev/null
. "$(dirname "$0")/common.sh"

[ -s "$OUT/image.env" ] || fail "nothing was pushed: run ci/image.sh first"
# shellcheck source=/dev/null
. "$OUT/image.env"
case $SIGNING in
off)
    say "not run: SIGNING is off in ci/settings.env"
    exit 0
    ;;
key)
    [ -n "${COSIGN_PRIVATE_KEY:-}" ] || fail "COSIGN_PRIVATE_KEY is not in the environment: it belongs into the CI's secret store"
    set -- --key env://COSIGN_PRIVATE_KEY
    ;;
keyless) set -- ;;
*) fail "SIGNING is $SIGNING: use keyless, key or off" ;;
esac
need cosign "see docs.sigstore.dev"
log_in cosign # signatures lie beside the image, and not every engine's login is found by it
cosign sign --yes "$@" "$IMAGE" || fail "$IMAGE was not signed"
"$PYTHON" "$CI_FOLDER/provenance.py" "$IMAGE" >"$OUT/provenance.json" || fail "where it comes from cannot be told"
cosign attest --yes "$@" --type slsaprovenance1 --predicate "$OUT/provenance.json" "$IMAGE" || fail "it was not attested"
if [ -s "$OUT/sbom.cdx.json" ]; then
    cosign attest --yes "$@" --type cyclonedx --predicate "$OUT/sbom.cdx.json" "$IMAGE" || fail "its SBOM was not attested"
else
    say "no SBOM is at hand to attest; the image has its own at /app/sbom.cdx.json"
fi
say "signed and attested $IMAGE"
