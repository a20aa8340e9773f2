"""Which notebooks run in a browser, and where: what `conf.py` and `make_browser.py` agree on."""

from __future__ import annotations

NOTEBOOKS = [  # one line for each that runs in a browser
    "notebooks/01_network_by_hand",
    "notebooks/02_is_my_gradient_right",
    "notebooks/03_convolution",
    "notebooks/04_training",
    "notebooks/10_three_rules",
]


def address(page: str) -> str:
    """Return where a page's notebook opens, as seen from the page; "" if it does not run there."""
    if page not in NOTEBOOKS:
        return ""
    up = "../" * page.count("/")
    return f"{up}lite/notebooks/index.html?path={page.rpartition('/')[2]}.ipynb"
