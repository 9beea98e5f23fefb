# shellcheck shell=sh
# How an image gets from here into a registry, with whichever engine has it. push.sh reads this with `.`.

# find_engine: ENGINE is the one that built the image, or the first that is installed; an archive needs skopeo.
find_engine() {
    if [ -n "${ARCHIVE-}" ]; then
        ENGINE=skopeo
    elif [ -z "${LOCAL_IMAGE-}" ]; then
        # shellcheck disable=SC2016
        fail 'there is no image to push: build one with `%deploy containerize`, then ship again; or say LOCAL_IMAGE=...'
    elif [ -z "${ENGINE-}" ]; then
        for one in docker podman nerdctl buildah; do
            if command -v "$one" >/dev/null 2>&1; then
                ENGINE=$one
                break
            fi
        done
        [ -n "${ENGINE-}" ] || fail 'no container engine is installed: docker, podman, nerdctl or buildah'
    fi
    have "$ENGINE"
}

# log_in HOST USER: the password comes from standard input, and is the engine's to keep.
log_in() { "$ENGINE" login --username "$2" --password-stdin "$1" >&2; }

# upload NAME: the image goes to the registry under that name.
upload() {
    case $ENGINE in
        docker | nerdctl)
            "$ENGINE" tag "$LOCAL_IMAGE" "$1" >&2
            "$ENGINE" push "$1" >&2
            ;;
        podman | buildah) "$ENGINE" push --format v2s2 "$LOCAL_IMAGE" "docker://$1" >&2 ;;
        skopeo) skopeo copy --format v2s2 "oci-archive:$ARCHIVE" "docker://$1" >&2 ;;
        *) fail "$ENGINE cannot push an image: push it yourself, and say IMAGE=..." ;;
    esac
}
