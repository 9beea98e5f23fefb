"""Asks the version that was built for the rows of ci/reference, and compares the answers with those kept there.

The token comes as JSON on standard input. Numbers are equal within PARITY_TOLERANCE of their spread, all else exactly;
PARITY_AGREEMENT is the share of rows that have to be.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

TIMEOUT_S = 60
SHOWN = 3


def main() -> int:
    out = Path(os.environ["OUT"])
    reference = Path(__file__).parent / "reference"
    inputs = json.loads((reference / "sample.json").read_text("utf-8"))["inputs"]
    wanted = json.loads((reference / "answers.json").read_text("utf-8"))["predictions"]
    url = json.loads((out / "status.json").read_text("utf-8"))["url"]
    access = json.load(sys.stdin)
    try:
        found = ask(url, access["token"] or "", inputs, Path(access["file"]).parent / "tls" / "certificate.pem")
    except (OSError, ValueError) as error:
        detail = error.read().decode("utf-8", "replace") if isinstance(error, urllib.error.HTTPError) else str(error)
        sys.stderr.write(f"parity: {url} did not answer: {detail}\n")
        return 1
    tolerance, least = float(os.environ["PARITY_TOLERANCE"]), float(os.environ["PARITY_AGREEMENT"])
    if not isinstance(found, list) or len(found) != len(wanted):
        sys.stderr.write(f"parity: {len(wanted)} answers were wanted, and it gave {str(found)[:200]}\n")
        return 1
    scale = spread(wanted)
    wrong = [i for i, pair in enumerate(zip(wanted, found, strict=True)) if not same(*pair, tolerance * scale)]
    share = 1 - len(wrong) / max(len(wanted), 1)
    told = {"rows": len(wanted), "agreement": share, "least": least, "tolerance": tolerance, "differing": wrong}
    (out / "parity.json").write_text(json.dumps(told, indent=2) + "\n", "utf-8")
    for i in wrong[:SHOWN]:
        sys.stdout.write(f"parity: row {i}: {str(wanted[i])[:80]} became {str(found[i])[:80]}\n")
    verdict = "enough" if share >= least else "too few"
    sys.stdout.write(f"parity: {share:.2%} of {len(wanted)} rows are the same, {least:.2%} are needed: {verdict}\n")
    return 0 if share >= least else 1


def ask(url: str, token: str, inputs: Any, certificate: Path) -> Any:
    """The predictions for `inputs`. Raises `OSError` or `ValueError`.

    `certificate` is where the server's own lies, if it made one: it is trusted besides what this machine trusts.
    """
    trusted = ssl.create_default_context()
    if certificate.exists():
        trusted.load_verify_locations(certificate)
    request = urllib.request.Request(  # noqa: S310 - the address of a server that this machine started
        f"{url}/predict",
        data=json.dumps({"inputs": inputs}).encode(),
        headers={"content-type": "application/json", "authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=trusted) as answer:  # noqa: S310
        return json.load(answer)["predictions"]


def spread(values: Any) -> float:
    """How far apart the numbers are: the scale on which they are compared."""
    numbers = list(leaves(values))
    return max(numbers) - min(numbers) or 1.0 if numbers else 1.0


def leaves(value: Any) -> Any:
    if isinstance(value, list):
        for each in value:
            yield from leaves(each)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield float(value)


def same(wanted: Any, found: Any, tolerance: float) -> bool:
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(lambda a, b: same(a, b, tolerance), wanted, found))
    numbers = [isinstance(one, (int, float)) and not isinstance(one, bool) for one in (wanted, found)]
    return abs(wanted - found) <= tolerance if all(numbers) else bool(wanted == found)


if __name__ == "__main__":
    sys.exit(main())
