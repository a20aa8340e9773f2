"""Sphinx's settings; the build treats warnings as errors."""

import elunet

project = "elunet"
author = "elunet maintainers"
copyright = "2026, elunet maintainers"
release = version = elunet.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"show-inheritance": True}

html_theme = "furo"
html_title = "elunet"
exclude_patterns = ["_build"]
nitpicky = False
