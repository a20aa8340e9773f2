"""Sphinx's settings: the build treats warnings as errors and runs the notebooks.

A quick look at the pages, without running any notebook, is `sphinx -D nb_execution_mode=off`.
"""

import functools
import os
import re
import sys
from pathlib import Path
from typing import Any

import nbclient
import numpy as np
import numpy.typing as npt
from docutils import nodes
from jupyter_cache.executors import utils as notebooks
from sphinx import addnodes
from sphinx.util.typing import stringify_annotation

import elunet

sys.path.insert(0, str(Path(__file__).parent))
import browser_site
import make_notebooks

project = "elunet"
author = "elunet maintainers"
copyright = "2026, elunet maintainers"
release = version = elunet.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # formulas without a network, while building and while reading
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "_names",
]
exclude_patterns = ["_build", "notebooks/README.md", "*.ipynb", "**/*.ipynb"]
templates_path = ["_templates"]
nitpicky = False

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3

# Notebooks run in their folder and in this very Python, with this very elunet, whatever else is
# installed for Jupyter; a figure is an output and not a window.
os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(Path(elunet.__file__).parents[1]), os.environ.get("PYTHONPATH")])
)
os.environ.setdefault(
    "OPENBLAS_NUM_THREADS", "1"
)  # products in the text are tiny; elunet has its own
nb_execution_mode = "force"
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_output_stderr = "warn"  # which fails the build: nobody should have to read past a warning
# What a cell prints arrives in pieces. nbclient joins them as they are; myst-nb's own setting for
# that, nb_merge_streams, would put empty lines between them.
notebooks.executenb = functools.partial(nbclient.execute, coalesce_streams=True)
nb_code_prompt_show = "The code of this figure"
nb_code_prompt_hide = "The code of this figure"

copybutton_selector = "div.highlight-python pre, div.highlight-ipython3 pre, div.highlight-py pre,"
copybutton_selector += " div.highlight-sh pre, div.highlight-pycon pre, div.doctest pre"
copybutton_exclude = ".linenos, .gp, .go"  # no prompts, no outputs

napoleon_google_docstring = False
napoleon_use_rtype = False
# "x, y : arrays" stays one entry, since its text is about both.
napoleon_use_param = False
napoleon_custom_sections = [("Attributes", "params_style")]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
ALIAS = "TypeAliasForwardRef"
NAMED = "Array Arrive File Initializer Padding Scheduled Seed Send Shape Tap"
autodoc_type_aliases = {name: name for name in NAMED.split()}  # not what they stand for
autodoc_default_options = {"show-inheritance": True}

html_theme = "furo"
html_title = "elunet"
html_static_path = ["_static"]
html_css_files = ["elunet.css"]
html_favicon = "_static/favicon.svg"
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#0b5c8e",
        "color-brand-content": "#0b5c8e",
        "color-brand-visited": "#7a4a78",
    },
    "dark_css_variables": {
        "color-brand-primary": "#6cbcec",
        "color-brand-content": "#6cbcec",
        "color-brand-visited": "#d7a3d3",
    },
}


def drop_dead_links(app, page, template, context, doctree):
    """Drop a source page's link back to the reference where it leads nowhere.

    viewcode takes it that all of a module is documented under one and the same name, so it errs
    where some of it is documented by where it is defined and some by where it is offered.
    """
    if page.startswith("_modules/"):
        known = app.env.get_domain("py").objects
        context["body"] = re.sub(
            r'<a class="viewcode-back" href="[^"#]*#([^"]*)">.*?</a>',
            lambda link: link[0] if link[1] in known else "",
            context["body"],
        )


NOTEBOOKS = {
    file.relative_to(make_notebooks.DOCS).with_suffix("").as_posix()
    for file in make_notebooks.SOURCES
}
COLAB = "https://colab.research.google.com/"
PUBLISHED = "gh-pages"  # the branch with the built site, whose notebooks Colab opens


def add_notebook_links(app, page, template, context, doctree):
    """Put the links of a notebook (_templates/notebook_links.html) below its title."""
    if page not in NOTEBOOKS:
        return
    _, _, repository = make_notebooks.repository().partition("github.com/")
    place = f"github/{repository}/blob/{PUBLISHED}/{page}.ipynb" if repository else ""
    about = {
        "notebook": f"{page.rpartition('/')[2]}.ipynb",
        "colab": COLAB + place,
        "in_colab": bool(place),
        "browser": browser_site.address(page) if app.config.in_browser else "",
    }
    links = app.builder.templates.render("notebook_links.html", about)
    context["body"] = context["body"].replace("</h1>", f"</h1>\n{links}", 1)


def write_notebooks(app, error):
    """Write the .ipynb files next to their pages."""
    if error is None and app.builder.format == "html":
        make_notebooks.write(Path(app.outdir), make_notebooks.repository(), app.config.html_baseurl)


EXPANDED = {  # what Sphinx makes of an alias inside another one, and the alias's name
    stringify_annotation(value, "smart"): name
    for name, value in (
        ("Array", npt.NDArray[Any]),
        ("Array", npt.NDArray[np.float64]),
        ("ArrayLike", npt.ArrayLike),
        ("DTypeLike", npt.DTypeLike),
    )
}
VALUES = {  # a default value's repr that is no Python, and what to show
    r"<class '(?:\w+\.)*(\w+)'>": r"\1",
    r"<(?:built-in )?function (?:[\w.]+\.)?<lambda>(?: at \w+)?>|<factory>": "...",
    r"<(?:built-in )?function (?:\w+\.)*(\w+)(?: at \w+)?>": r"\1",
    r"<(?:\w+\.)*(\w+) object(?: at \w+)?>": r"\1()",
}


def plain_aliases(app, what, name, value, options, signature, returns):
    """Show an alias in a signature by its name alone, and a default as it is written."""

    def plain(text):
        if not text:
            return text
        text = re.sub(r"TypeAliasForwardRef\('([\w.]+)'\)", r"\1", text)
        for expansion, alias in EXPANDED.items():
            text = text.replace(expansion, alias)
        for pattern, shown in VALUES.items():
            text = re.sub(pattern, shown, text)
        return text

    return plain(signature), plain(returns)


def plain_descriptions(app, doctree):
    """Do what `plain_aliases` does for properties, and drop what says nothing.

    That is a value with the repr of an object, and what an alias stands for.
    """
    for node in list(doctree.findall(addnodes.desc_annotation)):
        texts = [child.astext() for child in node.children]
        while ALIAS in texts:  # then "(", "'Array'", ")"
            start = texts.index(ALIAS)
            node[start : start + 4] = [nodes.Text(texts[start + 2].strip("'"))]
            texts[start : start + 4] = [""]
        if re.match(r"\s*= .*<", node.astext()):
            node.parent.remove(node)
    for content in doctree.findall(addnodes.desc_content):
        for node in list(content.children):
            text = node.astext()
            about_alias = text.startswith("alias of ") and len(content.children) > 1
            if isinstance(node, nodes.paragraph) and (text == "Bases:" or about_alias):
                content.remove(node)


def public_bases(app, name, obj, options, bases):
    """Instead of a base class that the reference does not have, show those that it stands on."""

    def public(base):
        place = base.__module__
        if not place.startswith("elunet"):
            return [base] if base is not object else []
        while place and base.__name__ not in getattr(sys.modules[place], "__all__", ()):
            place = place.rpartition(".")[0]
        return [base] if place else [found for own in base.__bases__ for found in public(own)]

    found = dict.fromkeys(one for base in bases for one in public(base))
    implied = {one for base in found for one in getattr(base, "__mro__", ())[1:]}
    bases[:] = [base for base in found if base not in implied]


def size_columns(app, doctree):
    """Say how long the texts of each column are, so that elunet.css can give them room."""
    for table in doctree.findall(nodes.tgroup):
        rows = [row.children for body in table.findall(nodes.tbody) for row in body.children]
        if len({len(row) for row in rows}) != 1:  # cells that span columns
            continue
        for column in zip(*rows, strict=True):
            longest = max(len(entry.astext()) for entry in column)
            size = "long" if longest >= 50 else "medium" if longest >= 20 else "short"
            for entry in column:
                entry["classes"].append(f"{size}-texts")


def keep_together(app, doctree):
    """Keep a formula in a sentence on one line with the punctuation around it."""
    for formula in list(doctree.findall(nodes.math)):
        parent, place = formula.parent, formula.parent.index(formula)
        before = parent[place - 1] if place else None
        after = parent[place + 1] if place + 1 < len(parent) else None
        first, last = "", ""
        if isinstance(before, nodes.Text):
            first = re.search(r"[(\[“]*$", before)[0]
        if isinstance(after, nodes.Text):
            last = re.match(r"[,.;:!?)\]”]*", after)[0]
        if first or last:
            parts = [nodes.Text(first), formula.deepcopy(), nodes.Text(last)]
            parent[place] = nodes.inline("", "", *parts, classes=["together"])
            if last:
                parent[place + 1] = nodes.Text(after[len(last) :])
            if first:
                parent[place - 1] = nodes.Text(before[: -len(first)])


def skip_fields(app, what, name, value, skip, options):
    """Leave out the fields of a named tuple, which its docstring describes."""
    return True if type(value).__name__ == "_tuplegetter" else None


def setup(app):
    # Whether make_browser.py is to add the site in which notebooks run: pages then link to it.
    app.add_config_value("in_browser", False, "html")
    app.connect("autodoc-process-signature", plain_aliases)
    app.connect("autodoc-process-bases", public_bases)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("doctree-read", plain_descriptions)
    app.connect("doctree-read", size_columns)
    app.connect("doctree-read", keep_together)
    app.connect("html-page-context", drop_dead_links)
    app.connect("html-page-context", add_notebook_links)
    app.connect("build-finished", write_notebooks)
