"""A built site, a server for it, and a browser that notes what it asks of anybody else.

It takes Chromium, Playwright, JupyterLite and a whole distribution of Pyodide, whose folder is in
ELUNET_PYODIDE; where one is missing, these tests are skipped and say so.
"""

from __future__ import annotations

import functools
import http.server
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDS = ("playwright", "jupyterlite_core", "jupyterlite_pyodide_kernel", "jupytext", "myst_nb")


def pytest_collection_modifyitems(items):
    reason = missing()
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


def missing() -> str:
    """Return what these tests lack, "" if nothing."""
    lacking = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if lacking:
        return f"the extra 'browser' is not installed: no {', '.join(lacking)}"
    if not chromium():
        return "there is no Chromium"
    if not os.environ.get("ELUNET_PYODIDE"):
        return "ELUNET_PYODIDE names no folder with Pyodide"
    return ""


def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), "")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Return the built documentation, with the notebooks and the one of this folder.

    ELUNET_SITE names one that is there already.
    """
    if os.environ.get("ELUNET_SITE"):
        return Path(os.environ["ELUNET_SITE"])
    html = tmp_path_factory.mktemp("site") / "html"
    sphinx = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-D",
        "nb_execution_mode=off",
        "-D",
        "in_browser=1",
    ]
    subprocess.run([*sphinx, "-b", "html", str(ROOT / "docs"), str(html)], check=True)
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import make_browser
    finally:
        sys.path.pop(0)
    also = [Path(__file__).parent / "everything.ipynb"]
    make_browser.build(html, Path(os.environ["ELUNET_PYODIDE"]), also)
    return html


@pytest.fixture(scope="session")
def address(site):
    """Return the address of a server for the site."""
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        started = playwright.chromium.launch(executable_path=chromium(), args=options)
        yield started
        started.close()


@pytest.fixture
def page(browser, address):
    """Return a page; the test fails if it asks anything of another site, or raises an error."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    opened, outside, errors = context.new_page(), [], []
    context.on("request", lambda request: outside.append(request.url))
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    context.close()
    allowed = (address, "data:", "blob:")
    assert not [url for url in outside if not url.startswith(allowed)]
    assert not errors


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Return the folder for screenshots: ELUNET_SCREENSHOTS, if somebody wants to look at them."""
    folder = os.environ.get("ELUNET_SCREENSHOTS")
    return Path(folder) if folder else tmp_path_factory.mktemp("images")
