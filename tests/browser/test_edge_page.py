"""The page of `ship edge --set web=yes`, in a real browser: ONNX Runtime Web answers as Python does."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from browsing import violations
from edging import MODELS, cargo_of, make, ship, write_onnx_version
from playwright.sync_api import BrowserContext, Page, expect

from autodeploy_magic.ship.edge import predict, web
from autodeploy_magic.ship.edge.web import PACKAGE

FIVE = "five"
"""The people's model, taking exactly five rows at once."""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ONNX Runtime Web as npm has it, unpacked."""
    folder = tmp_path_factory.mktemp("npm")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm, which brings ONNX Runtime Web: `apt-get install npm`")
    words = [npm, "pack", PACKAGE, "--prefer-offline", "--silent", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False, cwd=folder)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not bring {PACKAGE} in time")
    if done.returncode != 0:
        pytest.skip(f"npm could not bring {PACKAGE}: {done.stderr[-300:]}")
    (folder / "ort").mkdir()
    web._from_given(next(folder.glob("*.tgz")), folder / "ort")
    return folder / "ort"


class Handler(SimpleHTTPRequestHandler):
    """Files of a folder; `/isolated/` is the same with the headers that threads of WebAssembly need."""

    extensions_map: ClassVar[dict[str, str]] = {
        **SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def translate_path(self, path: str) -> str:
        return super().translate_path(path.removeprefix("/isolated"))

    def end_headers(self) -> None:
        if self.path.startswith("/isolated/"):
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def shipped(runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of several models, a folder each."""
    root = tmp_path_factory.mktemp("shipped")
    for name in MODELS:
        ship(make(name, root / f"{name}.version", web=True, ort_web=str(runtime)), root / name)
    ship(cargo_of(root / "people.version", web=True, ort_web=str(runtime), batch=5), root / FIVE)
    return root


@pytest.fixture(scope="module")
def site(shipped: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(shipped)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def opened(context: BrowserContext, address: str) -> Page:
    page = context.new_page()
    page.goto(address)
    expect(page.locator("#form")).to_be_visible()
    return page


def test_every_sample_is_answered_as_python_answers_it(context: BrowserContext, site: str, shipped: Path) -> None:
    page = opened(context, f"{site}/iris/web/")
    answer = """async name => {
        const { load } = await import('/iris/web/model.js')
        const model = await load(new URL(`/${name}/web/`, location.href))
        return { ...(await model.predict(model.inputs)), check: await model.check() }
    }"""
    for name in [*MODELS, FIVE]:
        found = page.evaluate(answer, name)
        assert found["check"] == {"rows": 12, "agree": 12, "differences": []}
        model = predict.Model(shipped / name)
        for output, values in model.predict(model.sample()[0]).items():
            if values.dtype.kind in "bf":
                np.testing.assert_allclose(found[output], values, rtol=1e-5, atol=1e-6)
            else:
                assert found[output] == values.tolist(), name


def test_a_row_of_the_form_is_answered_and_a_bad_one_is_refused(context: BrowserContext, site: str) -> None:
    page = opened(context, f"{site}/people/web/")
    assert page.inner_text("#name") == "demo"
    page.get_by_label("city of birth").fill("oslo")
    page.get_by_label("children").fill("3")
    page.get_by_label("age").fill("")
    page.click("text=Predict")
    expect(page.locator("#table")).to_be_visible()
    cells = page.locator("#table tbody td").all_inner_texts()
    assert cells[0:2] == ["predictions", "yes"]
    assert len(json.loads(cells[3])) == 2
    assert "ms" in page.inner_text("#took")
    page.get_by_label("children").fill("three")
    page.click("text=Predict")
    expect(page.locator("#problem")).to_contain_text("inputs[0].children is a text, not a number")
    page.get_by_label("children").fill("1.5")
    page.click("text=Predict")
    expect(page.locator("#problem")).to_contain_text("not a whole number of int64")
    page.click("text=Another row of the sample")
    page.click("text=Predict")
    expect(page.locator("#table")).to_be_visible()


@pytest.mark.parametrize("look", ["light", "dark"])
def test_the_page_can_be_read_by_everybody(context: BrowserContext, site: str, look: Any) -> None:
    page = opened(context, f"{site}/people/web/")
    page.emulate_media(color_scheme=look)
    page.click("#check")
    expect(page.locator("#checked")).to_be_visible()
    assert violations(page, "main") == []


def test_threads_run_it_where_the_page_is_isolated(context: BrowserContext, site: str) -> None:
    page = opened(context, f"{site}/isolated/network/web/")
    assert page.evaluate("crossOriginIsolated")
    page.click("#check")
    expect(page.locator("#checked")).to_contain_text("12 of 12 rows")


def test_what_people_typed_is_text_and_nothing_else(
    context: BrowserContext, site: str, shipped: Path, runtime: Path
) -> None:
    model, sample = MODELS["regression"]()
    bad = '"><img src=x onerror=alert(1)>'
    names = {"a": bad, "b": "__proto__", "c": "</script><script>alert(2)</script>", "d": "${alert(3)}"}
    sample = sample.rename(columns=names)
    model.fit(sample, sample[bad] * 3)
    write_onnx_version(shipped / "typed.version", model, sample)
    ship(cargo_of(shipped / "typed.version", web=True, ort_web=str(runtime)), shipped / "typed")
    page = opened(context, f"{site}/typed/web/")
    assert page.locator("#fields label").all_inner_texts()[:4] == list(names.values())
    assert page.locator("#columns td:first-child").all_inner_texts()[:4] == list(names.values())
    page.click("text=Predict")
    expect(page.locator("#table")).to_be_visible()
    page.click("#check")
    expect(page.locator("#checked")).to_contain_text("12 of 12 rows")
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 1


def test_nothing_is_asked_of_another_host(context: BrowserContext, site: str) -> None:
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    opened(context, f"{site}/iris/web/").click("#check")
    assert len(asked) > 5
    assert [url for url in asked if not url.startswith((site, "blob:", "data:"))] == []
