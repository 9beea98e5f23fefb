# shellcheck shell=sh disable=SC2034
# What Vertex AI has of this deployment; the other scripts read this with `.`.

# find_endpoint: `endpoint` is its whole name, "" where there is none.
find_endpoint() {
    endpoint=$(gcloud ai endpoints list --project "$PROJECT" --region "$REGION" \
        --filter "display_name=$NAME" --format 'value(name)' --limit 1)
}

# find_deployed: one line for each model on the endpoint: its identity there, a tab, its release.
find_deployed() {
    deployed=$(gcloud ai endpoints describe "$endpoint" --project "$PROJECT" --region "$REGION" \
        --flatten 'deployedModels[]' --format 'value(deployedModels.id,deployedModels.displayName)')
    count=$(printf '%s' "$deployed" | grep -c . || true)
}

# id_of RELEASE, id_besides RELEASE: the identity of a release on the endpoint, and of the one that is not it.
id_of() { printf '%s\n' "$deployed" | awk -v one="$1" '$2 == one { print $1; exit }'; }
id_besides() { printf '%s\n' "$deployed" | awk -v one="$1" 'NF && $2 != one { print $1; exit }'; }
