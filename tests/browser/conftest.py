"""One JupyterLab, one supervisor and one browser for each file here; each test has a person of its own.

No longer than for a file: a browser that runs keeps an event loop running, which other tests want for themselves.

What a test leaves is ended after it: kernels, sessions, deployments. Where it fails, a picture of each of its pages and
a trace (`playwright show-trace trace.zip`) lie in its temporary folder, which the report names.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from browsing import BROWSER, WHAT_TO_INSTALL, Complaints, browser, new_context
from labpage import Lab
from labserver import LabServer, jupyterlab
from playwright.sync_api import Browser, BrowserContext
from world import World

from autodeploy_magic import settings
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(180))
            item.add_marker(pytest.mark.skipif(BROWSER is None, reason=WHAT_TO_INSTALL))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    context = getattr(item, "funcargs", {}).get("context")
    if report.failed and report.when == "call" and context is not None:
        for number, page in enumerate(context.pages):
            page.screenshot(path=item.funcargs["tmp_path"] / f"page-{number}.png")
    return report


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The supervisor that the kernels and the Jupyter Server find: the environment names its state folder."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("browser")
        patch.setenv("AUTODEPLOY_HOME", str(home))
        settings.reset()
        store = Store(home)
        world = World(store, connect(store))
        yield world
        world.end()
    settings.reset()


@pytest.fixture(scope="module")
def server(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """JupyterLab with what is in labextension/ now, built where that has changed."""
    subprocess.run([sys.executable, str(ROOT / "tools" / "assets.py"), "lab"], check=True, timeout=300)
    with jupyterlab(tmp_path_factory.mktemp("lab")) as found:
        yield found


@pytest.fixture(scope="module")
def bare_server(server: LabServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """The same without the server's extension: what is left of us is the front end, and the kernel."""
    with jupyterlab(tmp_path_factory.mktemp("bare"), extended=False) as found:
        yield found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """What the pages of this test complained of: a test fails for what it did not expect."""
    found = Complaints()
    yield found
    assert found.unexpected == []


@pytest.fixture
def context(
    chromium: Browser, complaints: Complaints, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[BrowserContext]:
    """A person's browser, with nothing remembered."""
    found = new_context(chromium)
    found.on("page", complaints.listen)
    found.tracing.start(snapshots=True)
    yield found
    failed = request.node.stash.get(FAILED, False) or bool(complaints.unexpected)
    if failed:
        request.node.add_report_section("teardown", "pictures and trace", str(tmp_path))
    found.tracing.stop(path=tmp_path / "trace.zip" if failed else None)
    found.close()


@pytest.fixture
def nothing_deployed(world: World) -> Iterator[None]:
    """What the test deploys is removed after it."""
    yield
    supervisor = connect(world.store)  # a test may have killed the one that was
    for status in supervisor.list():
        supervisor.remove(status.name)


@pytest.fixture
def lab(context: BrowserContext, server: LabServer, nothing_deployed: None) -> Iterator[Lab]:
    """A person in front of JupyterLab, nothing deployed yet."""
    yield from _in_front_of(server, context)


@pytest.fixture
def bare_lab(context: BrowserContext, bare_server: LabServer, nothing_deployed: None) -> Iterator[Lab]:
    """The same where the server's extension is off."""
    yield from _in_front_of(bare_server, context)


def _in_front_of(server: LabServer, context: BrowserContext) -> Iterator[Lab]:
    server.settings({})
    yield Lab(server, context.new_page())
    for page in context.pages:
        if page.url.startswith(server.base):
            page.evaluate("window.onbeforeunload = null")
    server.end_kernels()
