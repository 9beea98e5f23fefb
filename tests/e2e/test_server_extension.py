"""The Jupyter Server's part in a real server: with a kernel that computes, with a browser, and killed."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from browsing import BROWSER
from jupyters import WAIT_S, Jupyter
from playwright.sync_api import sync_playwright
from versions import NAMES, X, Y
from world import World, until

from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

BASE_URL = "/user/ada/"
HOLD_THE_GIL = "import ctypes\nopen({!r}, 'w').close()\nctypes.PyDLL(None).sleep(8)"


@pytest.fixture
def world(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("AUTODEPLOY_DRAIN_S", "1.0")
    world = World(store, connect(store))
    world.serve(world.version())
    yield world
    world.end()


@pytest.fixture
def jupyter(world: World, tmp_path: Path) -> Iterator[Callable[[], Jupyter]]:
    started: list[Jupyter] = []

    def start() -> Jupyter:
        started.append(Jupyter(tmp_path, extensions=("autodeploy_magic.server_extension",), base_url=BASE_URL))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.kill()


def result_of(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text.splitlines()[-1])["result"]


def test_a_button_works_while_the_kernel_holds_its_lock(
    jupyter: Callable[[], Jupyter], world: World, tmp_path: Path
) -> None:
    server = jupyter()
    run = server.kernel()
    before = world.supervisor.status("iris").workers
    held = tmp_path / "held"
    cell = threading.Thread(target=run, args=(HOLD_THE_GIL.format(str(held)),))
    cell.start()
    until(held.exists)
    answer = result_of(server.http.post("/autodeploy/api/deployments/iris/restart", json={}))
    assert cell.is_alive()
    assert answer["state"] == "running"
    assert {worker["pid"] for worker in answer["workers"]}.isdisjoint(worker.pid for worker in before)
    cell.join()


def test_the_jupyter_server_is_killed_and_the_next_one_shows_what_serves(
    jupyter: Callable[[], Jupyter], world: World
) -> None:
    first = jupyter()
    (glance,) = result_of(first.http.get("/autodeploy/api/glances"))
    workers = [worker["pid"] for worker in glance["status"]["workers"]]
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait(WAIT_S)
    assert world.predict().json()["predictions"] == list(NAMES[Y[:3]])
    second = jupyter()
    (glance,) = result_of(second.http.get("/autodeploy/api/glances"))
    assert [worker["pid"] for worker in glance["status"]["workers"]] == workers
    answer = second.http.post("/autodeploy/proxy/iris/predict", json={"inputs": X[:3].tolist()})
    assert answer.json()["predictions"] == list(NAMES[Y[:3]])
    first.close()


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome to be installed")
def test_the_try_it_page_works_below_the_server(jupyter: Callable[[], Jupyter], world: World) -> None:
    server = jupyter()
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{server.url}autodeploy/proxy/iris?token={server.token}")
        page.wait_for_selector("#body", state="visible")
        assert page.inner_text("#name") == "iris"
        assert page.url == f"{server.url}autodeploy/proxy/iris/"
        page.click("text=Send")
        page.wait_for_selector("#table", state="visible")
        shown = page.locator("#table tbody td:nth-child(2)").all_inner_texts()
        assert shown == list(NAMES[Y[: len(shown)]])
        # The same with the deployment's token in the fragment, which leaves the address at once.
        page.goto("about:blank")
        page.goto(f"{server.url}autodeploy/proxy/iris/#token={world.store.token('iris')}")
        page.wait_for_selector("#body", state="visible")
        page.click("text=Send")
        page.wait_for_selector("#table", state="visible")
        assert "token" not in page.url
        # What else the port shows is shown without the rights of this server.
        page.goto(f"{server.url}autodeploy/proxy/iris/readyz")
        assert page.evaluate("self.origin") == "null"
        browser.close()
    assert errors == []
