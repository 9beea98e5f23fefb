#!/bin/sh
# Makes the cluster known to kubectl: KUBECONFIG_DATA, base64, of the CI's secret store. Where kubectl knows it already,
# by a login of the cloud's own or a runner that stands in the cluster, nothing is done.
# shellcheck source=/dev/null
. "$(dirname "$0")/common.sh"

[ -z "$DEPLOY_HOOK" ] || exit 0
if [ -z "${KUBECONFIG_DATA:-}" ]; then
    say "KUBECONFIG_DATA is not set: kubectl has to know the cluster by itself"
    exit 0
fi

umask 077
printf '%s' "$KUBECONFIG_DATA" | base64 -d >"$CI_FOLDER/.kubeconfig" || fail "KUBECONFIG_DATA is not base64"
say "the cluster is known"
