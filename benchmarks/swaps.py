"""50 re-runs of a deployment under 8 keep-alive clients: how many requests fail, and how long they take.

The clients are a process of their own. A request fails where it gets no answer, another status than 200, or a wrong
prediction. None is tried again.

Run: python benchmarks/swaps.py [re-runs] [clients]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter

import httpx
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from state import temporary_home

import autodeploy_magic as ad

X, Y = load_wine(return_X_y=True)


def clients(url: str, token: str, count: int) -> None:
    """Send rows over `count` keep-alive connections until standard input closes; then print what came of it."""
    stop = threading.Event()
    connected = threading.Barrier(count + 1)
    outcomes: Counter[str] = Counter()
    versions: Counter[int] = Counter()
    latencies: list[float] = []

    def client(first: int) -> None:
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as session:
            session.get("/readyz")
            connected.wait()
            row = first
            while not stop.is_set():
                row = (row + 1) % len(X)
                started = time.perf_counter()
                try:
                    answer = session.post("/predict", json={"inputs": X[row : row + 1].tolist()})
                except httpx.HTTPError as error:
                    outcomes[type(error).__name__] += 1
                    continue
                latencies.append(time.perf_counter() - started)
                body = answer.json()
                right = answer.status_code == 200 and body["predictions"] == [int(Y[row])]
                outcomes["ok" if right else f"status {answer.status_code}"] += 1
                if right:
                    versions[body["version"]] += 1

    threads = [threading.Thread(target=client, args=(number * 7,)) for number in range(count)]
    for thread in threads:
        thread.start()
    connected.wait()
    print("connected", flush=True)
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    cuts = statistics.quantiles(latencies, n=1000)
    percentiles = {"p50": cuts[499], "p90": cuts[899], "p99": cuts[989], "max": max(latencies)}
    print(json.dumps({"outcomes": outcomes, "versions": len(versions), "latency_s": percentiles}))


def main(reruns: int, count: int) -> int:
    """Deploy, swap `reruns` times under load, and print what the clients saw; returns 1 where a request failed."""
    with temporary_home():
        # Forests that have seen every row: each version answers every row alike, and is a different one all the same.
        models = [
            RandomForestClassifier(60, bootstrap=False, random_state=seed).fit(X, Y) for seed in range(reruns + 1)
        ]
        wine = ad.deploy(models[0], "wine", X, quiet=True)
        arguments = [sys.executable, __file__, "clients", wine.url, wine.token, str(count)]
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
            assert load.stdout is not None
            load.stdout.readline()
            try:
                times = [timed_rerun(model) for model in models[1:]]
            finally:
                output, _ = load.communicate()
        seen = json.loads(output)
    outcomes = seen["outcomes"]
    failed = sum(outcomes.values()) - outcomes.get("ok", 0)
    latency = "   ".join(f"{name} {seconds * 1000:.1f} ms" for name, seconds in seen["latency_s"].items())
    print(f"{reruns} re-runs under {count} keep-alive clients, {statistics.median(times):.2f} s each (median)")
    print(f"  requests {sum(outcomes.values())}, failed {failed}   (target: 0)")
    if failed:
        print(f"  what failed: { ({name: number for name, number in outcomes.items() if name != 'ok'}) }")
    print(f"  answered by {seen['versions']} versions; {latency}")
    print(f"  command: python benchmarks/swaps.py {reruns} {count}")
    return int(failed > 0)


def timed_rerun(model: RandomForestClassifier) -> float:
    """Seconds of one re-run, from the call to the new version's first answer."""
    started = time.perf_counter()
    ad.deploy(model, "wine", X, quiet=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    if sys.argv[1:2] == ["clients"]:
        clients(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        numbers = [int(word) for word in sys.argv[1:]]
        sys.exit(main(*numbers, *(50, 8)[len(numbers) :]))
