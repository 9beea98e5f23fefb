# shellcheck shell=sh
# What the other scripts have in common; they read it with `.`, and it reads settings.env. There is no value in here.
set -eu
CDPATH='' cd -- "$(dirname -- "$0")"

# Of these the environment's value goes before the one of the file; NAME and VERSION are the file's alone.
asks='IMAGE REGION PROJECT ROLE_ARN EXECUTION_ROLE_ARN CODEDEPLOY_ROLE_ARN STACK RESOURCE_GROUP WORKSPACE ENDPOINT
REGISTRY REPOSITORY NAMESPACE TOKEN_SECRET CANARY ENGINE LOCAL_IMAGE ARCHIVE'
for one in $asks; do eval "asked_$one=\${$one-}"; done
# shellcheck source=/dev/null
. ./settings.env
for one in $asks; do
    eval "asked=\$asked_$one"
    # shellcheck disable=SC2154
    if [ -n "$asked" ]; then eval "$one=\$asked"; fi
done
NAME=${NAME:?} VERSION=${VERSION:?}

scratch=
begun=
ended=
hint=

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "$1"
    exit 2
}

# step WORDS: what is done from here on, until the next one.
step() {
    if [ -n "$begun" ]; then ended="$ended
  $begun"; fi
    begun=$1
    say "== $1"
}

# need NAME...: variables that have to be said, here or in the environment.
need() {
    for wanted in "$@"; do
        eval "given=\${$wanted-}"
        # shellcheck disable=SC2154
        [ -n "$given" ] || fail "$wanted is not set: say $wanted=... before the command, or write it into settings.env"
    done
}

# have TOOL: a command that has to be installed.
have() { command -v "$1" >/dev/null 2>&1 || fail "$1 is not installed, or not on the PATH"; }

# checked_image: IMAGE names an image in a registry, and holds nothing that a file could misread.
checked_image() {
    # shellcheck disable=SC2016
    [ -n "${IMAGE-}" ] || fail 'IMAGE is not set: IMAGE=$(sh push.sh) && export IMAGE brings the image into a registry'
    case $IMAGE in
        *[!A-Za-z0-9.:/@_-]*) fail 'IMAGE is not the name of an image' ;;
        */*) ;;
        *) fail "IMAGE is $IMAGE, which is on one machine alone: IMAGE=\$(sh push.sh) && export IMAGE" ;;
    esac
}

# release FILE...: RELEASE names what is deployed: the version, and a sum over the image and the files.
release() {
    RELEASE=$VERSION-$({ cat -- "$@"; printf '%s' "$IMAGE"; } | cksum | cut -d ' ' -f 1)
}

# filled FILE [NAME=VALUE...]: prints a file with the image, the release and others in their places.
filled() {
    file=$1
    shift
    set -- "SET_IMAGE=$IMAGE" "SET_RELEASE=$RELEASE" "$@"
    text=$(cat -- "$file")
    for pair in "$@"; do
        case ${pair#*=} in *[!A-Za-z0-9.:/@_+=,-]*) fail "the value of ${pair%%=*} cannot be put into $file" ;; esac
        text=$(printf '%s\n' "$text" | sed "s|${pair%%=*}|${pair#*=}|g")
    done
    printf '%s\n' "$text"
}

# most_besides REVISION: of lines "PERCENT REVISION", the revision with the most requests that is not it; "" for none.
most_besides() {
    awk -v one="$1" '$1 ~ /^[0-9]+$/ && $1 > most && $2 != one { most = $1; name = $2 } END { print name }'
}

# private: `scratch` is a folder of this run alone.
private() { scratch=$(mktemp -d); }

over() {
    code=$?
    trap - EXIT
    if [ -n "$scratch" ]; then rm -rf -- "$scratch"; fi
    if [ "$code" -ne 0 ] && [ -n "$begun" ]; then
        say "stopped at: $begun"
        if [ -n "$ended" ]; then say "done before that:$ended"; fi
        if [ -n "$hint" ]; then say "$hint"; fi
    fi
    exit "$code"
}
trap over EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
