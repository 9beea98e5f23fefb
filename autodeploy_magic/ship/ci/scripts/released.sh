#!/bin/sh
# Whether this branch is the one that is released: what Jenkins asks. BRANCH_NAME is set by it.
# shellcheck source=/dev/null
. "$(dirname "$0")/common.sh"

[ -z "${CHANGE_ID:-}" ] && [ "${BRANCH_NAME:-}" = "$RELEASE_BRANCH" ]
