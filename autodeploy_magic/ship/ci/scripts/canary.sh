#!/bin/sh
# Puts the new image beside the old one: one pod of it, which answers a share of the requests. Nothing else is changed.
#
# A Deployment's own rolling update begins (maxSurge 1, maxUnavailable 0, as `ship kubernetes` writes it), and is paused
# as soon as the first new pod is there. With DEPLOY_HOOK this is done by "$DEPLOY_HOOK canary IMAGE", which prints
# matchers of the canary's series, such as version="4"; and so are promotion and roll-back.
# shellcheck source=/dev/null
. "$(dirname "$0")/common.sh"

[ -s "$OUT/image.env" ] || fail "no image was pushed: run ci/image.sh first, or bring its out/image.env here"
# shellcheck source=/dev/null
. "$OUT/image.env"
rm -f "$OUT/before.env" "$OUT/match"

if [ -n "${COSIGN_PUBLIC_KEY:-}" ]; then
    need cosign "it verifies the image's signature"
    log_in cosign
    cosign verify --key env://COSIGN_PUBLIC_KEY "$IMAGE" >/dev/null || fail "$IMAGE is not signed by COSIGN_PUBLIC_KEY"
elif [ -n "${SIGNER_IDENTITY:-}" ]; then
    need cosign "it verifies the image's signature"
    log_in cosign
    cosign verify --certificate-identity-regexp "$SIGNER_IDENTITY" --certificate-oidc-issuer "${SIGNER_ISSUER:?}" \
        "$IMAGE" >/dev/null || fail "$IMAGE is not signed by $SIGNER_IDENTITY"
else
    say "the signature is not verified: neither COSIGN_PUBLIC_KEY nor SIGNER_IDENTITY is in the environment"
fi

if [ -n "$DEPLOY_HOOK" ]; then
    printf "BEFORE=''\n" >"$OUT/before.env" # from here on there is something to take back
    "$DEPLOY_HOOK" canary "$IMAGE" >"$OUT/match" || fail "$DEPLOY_HOOK could not begin"
else
    need kubectl "see kubernetes.io/docs/tasks/tools"
    "$PYTHON" "$CI_FOLDER/canary.py" "$IMAGE" || fail "the canary did not become ready"
fi
say "the canary answers: $(cat "$OUT/match")"
