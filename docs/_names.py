"""`names`: a table of what a module offers, each name with its docstring's first line and a link.

The reference begins each of its pages with one. The names are the module's `__all__`, so that a
new name needs no line here.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from typing import Any, ClassVar

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective


def about_data(module: str, name: str) -> str:
    """Return the docstring that follows a constant or an alias, wherever in a package it is."""
    for place in sorted(sys.modules):
        if place == module or place.startswith(f"{module}."):
            found = ModuleAnalyzer.for_module(place).find_attr_docs().get(("", name))
            if found:
                return "\n".join(found)
    return ""


class Names(SphinxDirective):
    """``.. names:: elunet.layers``, or with names in the content for some of a module."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        module = importlib.import_module(self.arguments[0])
        lines = [".. list-table::", "   :class: names", "   :widths: 30 70", ""]
        for name in list(self.content) or sorted(module.__all__, key=str.lower):
            value = getattr(module, name)
            kind = "class" if inspect.isclass(value) else "data"
            kind = "func" if inspect.isroutine(value) else kind
            kind = "mod" if inspect.ismodule(value) else kind
            about = inspect.getdoc(value) if kind != "data" else about_data(module.__name__, name)
            about = (about or "").split("\n")[0]
            lines += [f"   * - :py:{kind}:`~{module.__name__}.{name}`", f"     - {about}"]
        container = nodes.Element()
        self.state.nested_parse(StringList(lines, "names"), self.content_offset, container)
        return container.children


def setup(app: Any) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("names", Names)
    return {"parallel_read_safe": True}
