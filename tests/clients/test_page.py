"""The try-it page, in a real browser."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployed import PEOPLE, Deployed
from playwright.sync_api import Page, sync_playwright

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome to be installed")]


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    """A page of a browser; an error in a script is the test's."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(20_000)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        browser.close()
        assert errors == []


@pytest.fixture
def page(tab: Page, people: Deployed) -> Page:
    """The page of `people`, opened with the token in the address."""
    tab.goto("about:blank")
    tab.goto(f"{people.url}/#token={people.token}")
    tab.wait_for_selector("#body", state="visible")
    return tab


def test_the_token_is_asked_for_and_leaves_the_address(tab: Page, people: Deployed) -> None:
    tab.goto(people.url)
    tab.evaluate("sessionStorage.clear()")
    tab.reload()
    tab.fill("#token", "wrong")
    tab.click("text=Continue")
    tab.wait_for_function("document.getElementById('token-problem').textContent !== ''")
    assert "not this deployment's token" in tab.inner_text("#token-problem")
    assert "people" not in tab.content()
    tab.fill("#token", people.token)
    tab.click("text=Continue")
    tab.wait_for_selector("#body", state="visible")
    assert tab.inner_text("#name") == "people"
    tab.goto("about:blank")
    tab.goto(f"{people.url}/#token={people.token}")
    tab.wait_for_selector("#body", state="visible")
    assert people.token not in tab.url


def test_rows_and_outputs(page: Page, people: Deployed) -> None:
    page.click("text=Add a row")
    page.uncheck("input[value=probabilities]")
    request = json.loads(page.input_value("#body"))
    assert len(request["inputs"]) == 4
    assert request["outputs"] == ["predictions"]
    page.click("text=Send")
    page.wait_for_selector("#table", state="visible")
    assert page.locator("#table th").all_inner_texts() == ["row", "predictions"]
    answers = page.locator("#table tbody td:nth-child(2)").all_inner_texts()
    shown = [round(i * (len(PEOPLE) - 1) / 15) for i in (0, 1, 2, 2)]  # of 16, evenly over the sample
    assert answers == people.model.predict(PEOPLE.iloc[shown]).tolist()
    assert page.inner_text("#took").startswith("200")
    page.check("input[value=probabilities]")
    for _ in range(5):
        page.click("text=Remove a row")
    page.click("text=Send")
    page.wait_for_selector("#table", state="visible")
    assert page.locator("#table th").all_inner_texts() == ["row", "predictions", "probabilities"]
    assert page.locator("#table tbody tr").count() == 1


def test_a_refusal_names_the_field_and_marks_its_row(page: Page) -> None:
    request = page.input_value("#body")
    page.fill("#body", request.replace('"city": "oslo"', '"city": "rom"'))
    page.click("text=Send")
    page.wait_for_selector("#problem", state="visible")
    said = page.inner_text("#problem")
    assert "inputs[1].city" in said
    assert "send one of: nice, oslo, rome" in said
    assert page.inner_text("#took").startswith("422")
    marked = page.evaluate("document.getSelection().toString()")
    assert marked.startswith('{"age": ')
    assert '"rom"' in marked
    page.fill("#body", "{")
    page.click("text=Add a row")
    assert "not JSON" in page.inner_text("#problem")


def test_the_document_is_saved_though_a_link_carries_no_token(page: Page, tmp_path: Path) -> None:
    with page.expect_download() as download:
        page.click("#docs")
    assert download.value.suggested_filename == "people.openapi.json"
    download.value.save_as(tmp_path / "found.json")
    assert json.loads((tmp_path / "found.json").read_text())["info"]["title"] == "people"
