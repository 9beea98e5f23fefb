#!/bin/sh
# Deletes the service with its revisions. Once gone, again does no harm.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
have kubectl
need NAMESPACE
hint='To go on: sh teardown.sh again.'

step "service $NAME"
kubectl --namespace "$NAMESPACE" delete services.serving.knative.dev "$NAME" --ignore-not-found >&2
say 'The secret, the namespace and images in the registry stay.'
