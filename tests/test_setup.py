"""The README as PyPI shows it: no link of it depends on where it is read."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
ADDRESS = "https://github.com/somebody/elunet"


@pytest.fixture(scope="module")
def setup():
    """Return setup.py, which does nothing when it is imported."""
    spec = importlib.util.spec_from_file_location("elunet_setup", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_and_images_become_absolute(setup):
    text = setup.absolute(README, ADDRESS)
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert targets
    assert all(target.startswith("https://") for target in targets)
    assert f"({ADDRESS}/raw/HEAD/docs/images/opening.png)" in text
    assert f"({ADDRESS}/blob/HEAD/docs/results.md)" in text


def test_without_an_address_nothing_leads_nowhere(setup):
    text = setup.absolute(README, "")
    assert "docs/images" not in text
    assert all(target.startswith("https://") for target in re.findall(r"\]\(([^)]+)\)", text))
    assert setup.project_urls("") == {}
    assert setup.mail("") == ""


def test_what_links_lead_to_is_there():
    for target in re.findall(r"\]\((?!https:|#)([^)#]+)", README):
        assert (ROOT / target).exists(), target
