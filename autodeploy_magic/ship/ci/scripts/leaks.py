"""Looks for secrets in the files that git tracks: private keys, and the tokens of well-known services by their form.

A line that ends with `secrets: allow` is passed over. What is found is told by file and line, and never shown.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

FORMS = {
    "a private key": rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
    "an AWS access key": rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a GitHub token": rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})",
    "a GitLab token": rb"\bgl(?:pat|dt|rt|cbt|ptt)-[A-Za-z0-9_-]{20,}",
    "a Slack token": rb"\bxox[abeprs]-[A-Za-z0-9-]{10,}",
    "a Google API key": rb"\bAIza[A-Za-z0-9_-]{35}\b",
    "a Hugging Face token": rb"\bhf_[A-Za-z0-9]{30,}",
    "a PyPI token": rb"\bpypi-AgE[A-Za-z0-9_-]{50,}",
    "an npm token": rb"\bnpm_[A-Za-z0-9]{36}\b",
    "a Stripe key": rb"\b[rs]k_live_[A-Za-z0-9]{20,}",
    "an Azure storage key": rb"AccountKey=[A-Za-z0-9+/]{80,}={0,2}",
    "a password in an address": rb"\b[a-z][a-z0-9+.-]{1,20}://[^/\s:@'\"$<>{}]{1,64}:[^/\s:@'\"$<>{}]{3,}@[A-Za-z0-9]",
}
ALLOWED = b"secrets: allow"
MOST_BYTES = 20_000_000
_ANY = re.compile(b"|".join(b"(?:" + form + b")" for form in FORMS.values()))


def main() -> int:
    root = Path(sys.argv[1])
    found = [place for file in tracked(root) for place in look(root, file)]
    for place in found:
        sys.stderr.write(f"secrets: {place}\n")
    return 1 if found else 0


def tracked(root: Path) -> list[str]:
    """The files that git tracks, or that it would if they were added."""
    words = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, capture_output=True, check=True).stdout
    return sorted(name.decode("utf-8", "surrogateescape") for name in listed.split(b"\0") if name)


def look(root: Path, file: str) -> list[str]:
    path = root / file
    if path.is_symlink() or not path.is_file():
        return []
    if path.stat().st_size > MOST_BYTES:
        sys.stdout.write(f"secrets: not looked at, it is too large: {file!r}\n")
        return []
    found = []
    data = path.read_bytes()
    if _ANY.search(data) is None:
        return []
    for number, line in enumerate(data.splitlines(), 1):
        if line.rstrip().endswith(ALLOWED):
            continue
        found += [f"{file!r}, line {number}: {what}" for what, form in FORMS.items() if re.search(form, line)]
    return found


if __name__ == "__main__":
    sys.exit(main())
