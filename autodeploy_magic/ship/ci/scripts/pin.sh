#!/bin/sh
# Replaces the tags of GitHub's actions in the workflows by the commits that they name now. Run it once, look at the
# result, commit it; again for newer ones, after `git checkout` of the tags.
set -eu
cd "$(dirname "$0")/../.github/workflows"

for file in *.yaml; do
    grep -o 'uses: [A-Za-z0-9_.-]*/[A-Za-z0-9_./-]*@v[0-9][0-9.]*' "$file" | sort -u | while read -r _ action; do
        repository=${action%@*}
        tag=${action#*@}
        lines=$(git ls-remote "https://github.com/$repository" "refs/tags/$tag" "refs/tags/$tag^{}")
        commit=$(printf '%s\n' "$lines" | sort -k2 | tail -n 1 | cut -f1)
        case $commit in
        *[!0-9a-f]* | '')
            echo "pin.sh: FAILED: $action names no commit" >&2
            exit 1
            ;;
        esac
        sed -i.before "s|$repository@$tag\$|$repository@$commit # $tag|" "$file"
        rm -f "$file.before"
        echo "pin.sh: $action is $commit"
    done
done
