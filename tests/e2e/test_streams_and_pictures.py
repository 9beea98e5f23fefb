"""A predict that yields and a classifier of pictures, deployed for real and called as people call them."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from deployed import Deployed, deploy
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from world import World

from autodeploy_magic.build import BuildRequest, build
from autodeploy_magic.calling.snippets import snippets
from autodeploy_magic.errors import InvalidInputs, ModelFailed, NotAcceptable
from autodeploy_magic.metrics.firsts import first_items
from autodeploy_magic.notebook.deployment import Deployment

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

WAIT_S = 20.0
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DIGITS, LABELS = load_digits(return_X_y=True)


@pytest.fixture(scope="module")
def talker(world: World) -> Deployment:
    def spell(model: Any, x: Any) -> Iterator[str]:
        """A letter each 20 ms, and an error at a question mark."""
        import time

        for text in x:
            for letter in text:
                if letter == "?":
                    raise ValueError(letter)
                yield letter
                time.sleep(0.02)

    deploy(world, "talker", len, ["ab", "c"], predict=spell)
    return Deployment("talker", store=world.store)


def picture(row: Any, size: int = 32) -> Any:
    return Image.fromarray((row.reshape(8, 8) * 255 / 16).astype(np.uint8)).resize((size, size), 0)


def preparing() -> Any:
    """The function as a cell defines it: one of a module would bring this module into the version."""

    def preprocess(pictures: Any) -> Any:
        import numpy as np

        return np.array([np.asarray(each.convert("L").resize((8, 8), 0)).reshape(-1) * 16 / 255 for each in pictures])

    return preprocess


@pytest.fixture(scope="module")
def digits(world: World) -> Deployed:
    model = LogisticRegression(max_iter=200).fit(DIGITS, LABELS)
    sample = [picture(row, size) for row, size in zip(DIGITS[:12], (32, 48, 64) * 4, strict=True)]
    code = {"preprocess": preparing()}
    request = BuildRequest("digits", model, sample, code=code, format="onnx")  # one format takes half of the time
    built = build(request, world.store, world.supervisor.runner(sys.executable), lambda progress: None)
    world.serve(built.number, "digits")
    return Deployed(world, "digits", model)


@pytest.mark.timeout(120)
def test_items_come_one_by_one_and_are_measured(talker: Deployment, world: World) -> None:
    began = time.time()
    at = [(letter, time.time() - began) for letter in talker.stream(["stream", "s"])]
    assert "".join(letter for letter, _ in at) == "streams"
    assert at[-1][1] - at[0][1] > 0.1  # while the model was at work
    assert talker.predict(["as", "one"]) == ["a", "s", "o", "n", "e"]
    file, until = world.store.metrics_file("talker"), time.monotonic() + WAIT_S
    while not (found := first_items(file, int(began), 10.0, 1)):
        assert time.monotonic() < until
        time.sleep(0.1)
    ((p50_s, _),) = found
    assert p50_s is not None
    assert p50_s < at[0][1] + 0.01
    page = httpx.get(f"{talker.url}/metrics", headers=world.headers("talker")).text
    assert 'autodeploy_request_first_item_seconds_count{deployment="talker",version="1"} 1.0' in page
    while "first_p50_s" not in talker.metrics("1m", 6):  # which has seconds that are over
        assert time.monotonic() < until
        time.sleep(0.2)
    assert talker.metrics("1m", 6)["first_p50_s"].count() == 1


@pytest.mark.timeout(60)
def test_an_error_in_the_middle_is_raised_there(talker: Deployment) -> None:
    items = talker.stream(["ab?"])
    assert [next(items), next(items)] == ["a", "b"]
    with pytest.raises(ModelFailed, match="the model failed on these inputs"):
        next(items)
    with pytest.raises(InvalidInputs, match=r"inputs\[0\] is a number"):
        next(talker.stream([1]))


@pytest.mark.timeout(120)
def test_a_restart_waits_for_a_stream(talker: Deployment) -> None:
    items = talker.stream(["x" * 40])  # about a second
    assert next(items) == "x"
    talker.restart()
    assert len(list(items)) == 39


@pytest.mark.timeout(120)
def test_pictures_are_classified(digits: Deployed, world: World) -> None:
    dep = Deployment("digits", store=world.store)
    version = world.store.version("digits", 1)
    assert (version.signature.container, version.signature.columns[0].dtype) == ("list", "image")
    assert any(requirement.startswith("pillow==") for requirement in version.environment.requirements)
    rows = [picture(row, 40) for row in DIGITS[20:30]]
    expected = digits.model.predict(preparing()(rows))
    assert (dep.predict(rows) == expected).all()
    assert dep.test(rows=5).as_verified
    with digits.client() as client:
        png, jpeg = encoded(rows[0], "PNG"), encoded(rows[0].convert("RGB"), "JPEG")
        for kind, data in (("image/png", png), ("image/jpeg", jpeg), ("application/octet-stream", png)):
            answer = client.post("/predict?outputs=predictions", content=data, headers={"content-type": kind})
            assert answer.json()["predictions"] == [expected[0]]
        for path, body in (
            ("/v1/models/digits:predict", {"instances": [{"b64": text(png)}]}),
            ("/v1/models/digits:predict", {"instances": [{"inputs": {"b64": text(png)}}]}),
            ("/invocations", {"inputs": [text(png)]}),
            ("/predict", {"inputs": [f"data:image/png;base64,{text(png)}"]}),
        ):
            assert client.post(path, json=body).json()["predictions"] == [expected[0]], path
        tensor = {"name": "inputs", "datatype": "BYTES", "shape": [1], "data": [text(png)]}
        found = client.post("/v2/models/digits/infer", json={"inputs": [tensor]}).json()
        assert found["outputs"][0]["data"] == [expected[0]]
        refused = client.post("/predict", json={"inputs": [text(png), text(png[:100])]})
        assert (refused.status_code, refused.json()["field"]) == (422, "inputs[1]")
        assert client.post("/predict", content=b"no", headers={"content-type": "image/png"}).status_code == 422
        assert client.post("/predict", content=b"no", headers={"content-type": "image/svg+xml"}).status_code == 415
        docs = client.get("/docs.json").json()
        assert "image/png" in docs["paths"]["/predict"]["post"]["requestBody"]["content"]


@pytest.mark.timeout(60)
def test_the_snippet_of_a_file_works_when_it_is_pasted(digits: Deployed, world: World, tmp_path: Path) -> None:
    curl = snippets(world.store, world.store.version("digits", 1), digits.url).curl
    remark = curl.splitlines()[-1]
    (tmp_path / "FILE").write_bytes(encoded(picture(DIGITS[3]), "PNG"))
    command = remark.removeprefix("# one file: ")
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, timeout=WAIT_S, check=True)
    assert b'"predictions":[3]' in done.stdout


@pytest.mark.timeout(60)
def test_what_does_not_stream_says_so(digits: Deployed, world: World) -> None:
    with pytest.raises(NotAcceptable, match="digits does not stream"):
        next(Deployment("digits", store=world.store).stream([picture(DIGITS[0])]))


@pytest.mark.timeout(60)
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome to be installed")
def test_the_page_shows_items_and_takes_a_file(
    talker: Deployment, digits: Deployed, world: World, tmp_path: Path
) -> None:
    from playwright.sync_api import expect, sync_playwright

    file = tmp_path / "seven.png"
    file.write_bytes(encoded(picture(DIGITS[7]), "PNG"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(WAIT_S * 1000)
        page.goto(f"{talker.url}/#token={talker.token}")
        page.wait_for_selector("#body", state="visible")
        assert not page.is_visible("#pick")
        page.fill("#body", '{"inputs": ["letters"]}')
        page.click("text=Send")
        expect(page.locator("#took")).to_contain_text("7 items")
        assert page.inner_text("#answer") == "letters"
        page.fill("#body", '{"inputs": ["ab?"]}')
        page.click("text=Send")
        page.wait_for_selector("#problem", state="visible")
        assert "the model failed on these inputs" in page.inner_text("#problem")
        page.goto(f"{digits.url}/#token={digits.token}")
        page.wait_for_selector("#pick", state="visible")
        page.set_input_files("#file", file)
        expect(page.locator("#body")).to_have_value(re.compile(r'^\{\n "inputs": \[\n  "[^"]+"\n \]'))
        page.click("text=Send")
        page.wait_for_selector("#table", state="visible")
        assert page.locator("#table tbody td").nth(1).inner_text() == "7"
        browser.close()


def encoded(image: Any, format: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format)
    return stream.getvalue()


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()
