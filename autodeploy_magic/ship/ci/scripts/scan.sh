#!/bin/sh
# Looks for known vulnerabilities and for secrets. What was not looked at is said, and kept in out/scan.txt.
#
#   scan.sh                  the requirements of the version, and the files of the repository
#   scan.sh image WHICH      the image, before it is pushed: a reference, or the folder of an OCI layout
# shellcheck source=/dev/null
. "$(dirname "$0")/common.sh"

note() {
    say "$1"
    printf '%s\n' "$1" >>"$OUT/scan.txt"
}

scan_image() {
    looked=no
    if command -v trivy >/dev/null 2>&1; then
        set -- "$1" --exit-code 1 --severity HIGH,CRITICAL --ignore-unfixed
        if [ -d "$1" ]; then
            trivy image --input "$@" || fail "trivy found something in $1"
        else
            trivy image "$@" || fail "trivy found something in $1"
        fi
        note "trivy: nothing high or critical in $1"
        looked=yes
    else
        note "not run: trivy is not installed"
    fi
    if command -v grype >/dev/null 2>&1; then
        place=$1
        [ ! -d "$1" ] || place="oci-dir:$1"
        grype "$place" --only-fixed --fail-on high || fail "grype found something in $1"
        note "grype: nothing high or critical in $1"
        looked=yes
    else
        note "not run: grype is not installed"
    fi
    [ "$looked" = yes ] || note "the image's system packages were looked at by nobody"
}

if [ "${1:-}" = image ]; then
    scan_image "$2"
    exit 0
fi

[ -s "$OUT/requirements.txt" ] || fail "nothing was built: run ci/build.sh first"
rm -f "$OUT/scan.txt"
if command -v pip-audit >/dev/null 2>&1; then
    pip-audit --no-deps --disable-pip -r "$OUT/requirements.txt" || fail "pip-audit found vulnerable requirements"
    note "pip-audit: no known vulnerability in what the version requires"
    pip-audit --no-deps --disable-pip -r "$OUT/requirements.txt" -f cyclonedx-json -o "$OUT/sbom.cdx.json" >/dev/null 2>&1 ||
        note "pip-audit wrote no SBOM"
else
    note "not run: pip-audit is not installed"
fi
"$PYTHON" "$CI_FOLDER/leaks.py" "$CI_FOLDER/.." || fail "a secret stands in the repository: take it out, and renew it"
note "secrets: none of the usual forms in the files of the repository"
if command -v gitleaks >/dev/null 2>&1; then
    gitleaks detect --no-banner --redact --source "$CI_FOLDER/.." || fail "gitleaks found a secret"
    note "gitleaks: nothing in the repository and its history"
else
    note "not run: gitleaks is not installed"
fi
