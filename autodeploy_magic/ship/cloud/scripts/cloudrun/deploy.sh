#!/bin/sh
# Creates the service, or adds a revision that gets CANARY percent of the requests.
# shellcheck source=SCRIPTDIR/steps.sh
. "$(dirname -- "$0")/steps.sh"
have gcloud
need PROJECT REGION
checked_image
release service.yaml canary.yaml
hint='To go on: sh deploy.sh again. Requests go where they went before: sh rollback.sh. To take it down: sh teardown.sh'
private

if [ -n "${TOKEN_SECRET-}" ]; then
    step "secret $TOKEN_SECRET"
    gcloud secrets describe "$TOKEN_SECRET" --project "$PROJECT" >/dev/null 2>&1 ||
        fail "there is no secret $TOKEN_SECRET: the README says how to make it, and whom to let read it"
fi

step 'what is there'
before=
there=$(gcloud run services list --project "$PROJECT" --region "$REGION" --filter "metadata.name=$NAME" \
    --format 'value(metadata.name)')
if [ -n "$there" ]; then
    before=$(gcloud run services describe "$NAME" --project "$PROJECT" --region "$REGION" \
        --flatten 'status.traffic[]' --format 'value(status.traffic.percent,status.traffic.revisionName)')
    before=$(printf '%s\n' "$before" | most_besides "$NAME-$RELEASE")
fi

step "revision $NAME-$RELEASE"
if [ -z "$before" ]; then
    filled service.yaml >"$scratch/service.yaml"
else
    filled canary.yaml "SET_STABLE=$before" >"$scratch/service.yaml"
fi
gcloud run services replace "$scratch/service.yaml" --project "$PROJECT" --region "$REGION" >&2

if [ "${ACCESS-}" = token ]; then
    step 'who may call it: all, and the token is asked for'
    gcloud run services add-iam-policy-binding "$NAME" --project "$PROJECT" --region "$REGION" \
        --member allUsers --role roles/run.invoker >&2
fi
if [ -n "$before" ]; then
    say "$NAME-$RELEASE gets $CANARY % of the requests, beside $before. Then: sh promote.sh, or sh rollback.sh"
else
    say "$NAME-$RELEASE gets all requests. Try it: sh invoke.sh"
fi
