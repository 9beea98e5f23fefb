# shellcheck shell=sh disable=SC2034
# Which of blue and green is what; the other scripts read this with `.`.
where() { az ml "$@" --resource-group "$RESOURCE_GROUP" --workspace-name "$WORKSPACE"; }

# find_slots: `slots` are the deployments on the endpoint; `this` is the one of RELEASE, `other` the one that is not.
find_slots() {
    slots=$(where online-deployment list --endpoint-name "$ENDPOINT" --query '[].[name, tags.release]' --output tsv)
    this=$(printf '%s\n' "$slots" | awk -v one="$RELEASE" '$2 == one { print $1; exit }')
    other=$(printf '%s\n' "$slots" | awk -v one="$RELEASE" 'NF && $2 != one { print $1; exit }')
    count=$(printf '%s' "$slots" | grep -c . || true)
}
