"""Clients of a deployment that never stop, and what they were answered."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Self

import httpx
from versions import X

WAIT_S = 30.0


class Load:
    """Six clients that send one row of iris again and again: half keep their connection, half open one for each."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.failed: list[str] = []
        self.versions: Counter[int] = Counter()
        self._latest: dict[int, int] = {}
        self._stop = threading.Event()
        self._url = url
        self._headers = headers
        self._threads = [threading.Thread(target=self._run, args=(i, i % 2 == 0)) for i in range(6)]

    def answered_by(self, version: int) -> bool:
        """Whether every client's latest answer came from that version."""
        return len(self._latest) == len(self._threads) and set(self._latest.values()) == {version}

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(WAIT_S)

    def _run(self, name: int, keep: bool) -> None:
        client = httpx.Client(timeout=WAIT_S, headers=self._headers)
        while not self._stop.is_set():
            self._ask(name, client)
            if not keep:
                client.close()
                client = httpx.Client(timeout=WAIT_S, headers=self._headers)
        client.close()

    def _ask(self, name: int, client: httpx.Client) -> None:
        try:
            answer = client.post(f"{self._url}/predict", json={"inputs": X[:1].tolist()})
        except httpx.HTTPError as error:
            self.failed.append(repr(error))
            return
        if answer.status_code != 200:
            self.failed.append(answer.text)
            return
        self._latest[name] = answer.json()["version"]
        self.versions[self._latest[name]] += 1
