"""Which notebooks run in a browser, and where: what `conf.py` and `make_browser.py` agree on."""

from __future__ import annotations

NOTEBOOKS = [  # one line for each that runs in a browser
    "notebooks/01_network_by_hand",
    "notebooks/02_is_my_gradient_right",
    "notebooks/03_convolution",
    "notebooks/04_training",
    "notebooks/rules_in_a_browser",
]


def address(page: str) -> str:
    """Return where a page's notebook opens, from the site's root, "" if it does not run there."""
    if page not in NOTEBOOKS:
        return ""
    return f"lite/notebooks/index.html?path={page.rpartition('/')[2]}.ipynb"
