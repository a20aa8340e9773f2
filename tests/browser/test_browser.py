"""What a reader's browser does with the pages: it installs, trains, checks, plots, downloads."""

from __future__ import annotations

import os
import re
import time

import numpy as np
import pytest

import elunet as eln

MINUTE = 60_000
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


def start(page, address, name):
    """Open a notebook and have it run all its cells."""
    page.goto(f"{address}lite/notebooks/index.html?path={name}.ipynb")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=4 * MINUTE)
    page.wait_for_selector("text=Python (Pyodide)", timeout=4 * MINUTE)
    page.click("text=Run >> nth=0")
    page.click("text=Run All Cells")


def outputs(page, done):
    """Return what the cells have said, once `done` holds of it."""
    end = time.monotonic() + 600
    while time.monotonic() < end:
        page.wait_for_timeout(500)
        texts = page.locator(".jp-OutputArea-output").all_inner_texts()
        broken = [text for text in texts if "Traceback" in text or "Error:" in text]
        assert not broken, broken[0]
        if done("\n".join(texts)):
            return "\n".join(texts)
    raise AssertionError(f"not done after ten minutes, got {texts}")


def test_a_notebook_does_everything(page, address, images, tmp_path):
    clicked = time.monotonic()
    start(page, address, "everything")
    outputs(page, lambda text: "CHECKED" in text)
    first_check = time.monotonic() - clicked
    said = outputs(page, lambda text: "SAVED" in text)
    print(f"first gradient check {first_check:.1f} s after the click\n{said}")
    assert all(word in said for word in ("IMPORTED", "CHECKED", "TRAINED", "SAVED"))
    assert "plain, in NumPy" in said
    assert "ArticleELU(alpha=1): dx is wrong at 2 of 4 entries" in said
    assert page.locator(".jp-OutputArea-output img").count() >= 1
    with page.expect_download() as download:
        page.click("a[download='net.safetensors']")
    download.value.save_as(tmp_path / "net.safetensors")
    net = eln.Sequential([eln.layers.Linear(2, 16), eln.layers.ELU(), eln.layers.Linear(16, 3)])
    eln.load(net, tmp_path / "net.safetensors")
    assert np.abs(net["linear1"].params["W"]).max() > 0
    for size, name in ((DESKTOP, "desktop"), (PHONE, "phone")):
        page.set_viewport_size(size)
        page.wait_for_timeout(1000)
        page.screenshot(path=images / f"everything-{name}.png")
    is_busy = os.getloadavg()[0] > (os.cpu_count() or 1)  # with other work: then it says nothing
    assert first_check < 60 or is_busy


@pytest.mark.parametrize(("size", "name"), [(DESKTOP, "desktop"), (PHONE, "phone")])
def test_the_interactive_page(page, address, images, size, name):
    page.set_viewport_size(size)
    page.goto(f"{address}playground.html")
    room = page.evaluate("document.documentElement.scrollWidth")
    assert room <= size["width"], f"the page is {room} pixels wide"
    page.click("[data-part=run]")
    said = page.locator("[data-part=said]")
    page.wait_for_function(
        "/^Step [1-9]\\d\\d/.test(document.querySelector('[data-part=said]').textContent)",
        timeout=4 * MINUTE,
    )
    page.click("[data-part=run]")
    loss = float(re.search(r"loss ([\d.]+)", said.inner_text())[1])
    assert loss < 0.9  # that of guessing is ln 3 = 1.1
    page.select_option("[data-part=rule]", label="Feedback alignment")
    page.wait_for_function(
        "/^Step \\d\\d\\d/.test(document.querySelector('[data-part=said]').textContent)",
        timeout=4 * MINUTE,
    )
    page.click("[data-part=run]")
    page.evaluate("document.getElementById('playground').scrollIntoView()")
    page.wait_for_timeout(1000)
    page.screenshot(path=images / f"playground-{name}.png")
    for element in page.locator("#playground :is(button, select, input, canvas)").all():
        box = element.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= size["width"], f"{box} reaches out of the page"
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_a_notebooks_page_has_the_button(page, address):
    page.goto(f"{address}notebooks/10_three_rules.html")
    with page.expect_navigation():
        page.click("text=Run in your browser")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=4 * MINUTE)


@pytest.mark.parametrize(
    "name",
    [
        "01_network_by_hand",
        "02_is_my_gradient_right",
        "03_convolution",
        "04_training",
        "10_three_rules",
    ],
)
def test_each_notebook_runs_to_its_end(page, address, images, name):
    began = time.monotonic()

    def done(text):
        """A hidden cell has no number; so the others have theirs, and the kernel is idle."""
        prompts = page.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts()
        shown = [prompt for prompt in prompts if prompt.strip()]
        is_idle = page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").count()
        return is_idle and shown and all(re.match(r"\[\d+\]", prompt) for prompt in shown)

    start(page, address, name)
    outputs(page, done)
    print(name, round(time.monotonic() - began), "s")
    page.screenshot(path=images / f"{name}.png")
