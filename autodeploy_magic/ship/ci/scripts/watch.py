"""Asks Prometheus for what the canary promises, until BAKE_S seconds are over.

A promise is broken where two looks in a row show it. What cannot be seen is not taken for good: the canary is proved
only if it was up at the end, answered at least LEAST_REQUESTS requests, and each promise about its answers was seen.
PROMETHEUS_TOKEN is sent as a bearer token where it is in the environment.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

TIMEOUT_S = 20
IN_A_ROW = 2


def main() -> int:
    match = (Path(os.environ["OUT"]) / "match").read_text("utf-8").strip()
    slo = json.loads((Path(__file__).parent / "slo.json").read_text("utf-8"))
    bake_s, every_s = float(os.environ["BAKE_S"]), float(os.environ["WATCH_EVERY_S"])
    least = float(os.environ["LEAST_REQUESTS"])
    window = f"{max(math.ceil(every_s * 4), 60)}s"
    began = time.monotonic()
    broken: dict[str, int] = {}
    seen: dict[str, float] = {}
    while True:
        last = time.monotonic() - began >= bake_s
        try:
            look(slo["promises"], match, window, broken, seen)
            if last:
                requests = ask(slo["requests"], match, f"{math.ceil(bake_s)}s")
                up = ask(slo["up"], match, window)
        except (OSError, ValueError, KeyError) as error:
            if last:
                return say(f"Prometheus cannot be asked, so nothing is known of the canary: {error}")
            sys.stdout.write(f"watch: Prometheus cannot be asked now: {error}\n")
        else:
            found = [text for text, times in broken.items() if times >= IN_A_ROW]
            if found:
                return say(f"broken: {', '.join(found)}")
            if last:
                unseen = [one for one in slo["promises"] if one["text"] not in seen]
                return verdict(up, requests, least, unseen)
        time.sleep(min(every_s, max(bake_s - (time.monotonic() - began), 0.01)))


def look(
    promises: list[dict[str, Any]], match: str, window: str, broken: dict[str, int], seen: dict[str, float]
) -> None:
    """Ask for each promise once; count in `broken` how often in a row it was not kept."""
    for promise in promises:
        value = ask(promise["query"], match, window)
        if value is None:
            continue
        text = promise["text"]
        seen[text] = value
        kept = value < promise["limit"] if promise["op"] == "<" else value > promise["limit"]
        broken[text] = 0 if kept or value == promise["limit"] else broken.get(text, 0) + 1
        sys.stdout.write(f"watch: {text}: {value:.6g}{'' if kept else ', NOT KEPT'}\n")
    sys.stdout.flush()


def verdict(up: float | None, requests: float | None, least: float, unseen: list[dict[str, Any]]) -> int:
    if not up:
        return say("the canary shows no metrics: it is down, or is not scraped")
    if (requests or 0.0) < least:
        return say(f"it answered {requests or 0.0:.0f} requests, and LEAST_REQUESTS is {least:.0f}: nothing is proved")
    needed = [one["text"] for one in unseen if one["needed"]]
    if needed and least > 0:
        return say(f"never seen: {', '.join(needed)}")
    for one in unseen:
        sys.stdout.write(f"watch: {one['text']}: nobody measured that\n")
    sys.stdout.write(f"watch: kept, over about {requests or 0.0:.0f} requests\n")
    return 0


def ask(query: str, match: str, window: str) -> float | None:
    """The value of a query; None where there is none. Raises `OSError`, or `ValueError` where it is refused."""
    text = query.replace("@MATCH@", match).replace("@WINDOW@", window)
    address = f"{os.environ['PROMETHEUS_URL'].rstrip('/')}/api/v1/query"
    if not address.startswith(("http://", "https://")):
        raise ValueError("PROMETHEUS_URL begins with neither http:// nor https://")
    token = os.environ.get("PROMETHEUS_TOKEN", "")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    body = urllib.parse.urlencode({"query": text}).encode()
    try:
        with urllib.request.urlopen(  # noqa: S310 - its scheme was looked at
            urllib.request.Request(address, data=body, headers=headers),  # noqa: S310
            timeout=TIMEOUT_S,
        ) as answer:
            said = json.load(answer)
    except urllib.error.HTTPError as error:
        raise ValueError(f"{error} {error.read()[:300].decode('utf-8', 'replace')}") from error
    result = said["data"]["result"]
    value = float(result[0]["value"][1]) if result else math.nan
    return None if math.isnan(value) else value


def say(why: str) -> int:
    sys.stderr.write(f"watch: {why}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
