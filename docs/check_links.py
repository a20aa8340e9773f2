"""Look for dead links and lost figures in the built pages: `python docs/check_links.py html`.

Sphinx checks what it resolves itself. This reads the pages as a browser would, so it also sees what
themes and extensions add: every link within the site, to a file and to a place in it, and every
image without a text in its place. Links to other sites are left alone. A figure that a notebook
shows as text, <Figure size ...>, is lost.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """A page's places, its links, and its images without an alternative text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: list[str] = []
        self.wordless: list[str] = []
        self.lost = text.count("&lt;Figure size")
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element offers and where it leads."""
        values = dict(attrs)
        self.places |= {value for key, value in attrs if key in ("id", "name") and value}
        self.links += [value for key, value in attrs if key in ("href", "src") and value]
        if tag == "img" and not values.get("alt"):
            self.wordless.append(values.get("src") or "")


def problems(root: Path) -> list[str]:
    """Return a line for each dead link and each image without words."""
    pages = {
        file.resolve(): Page(file.read_text("utf-8"))
        for file in root.rglob("*.html")
        if not {"_static", "lite"} & set(file.relative_to(root).parts)
    }
    found = [] if pages else [f"no page in {root}"]
    for file, page in pages.items():
        name = file.relative_to(root.resolve()).as_posix()
        found += [f"{name}: {page.lost} figures are text instead of images"] if page.lost else []
        found += [f"{name}: no words for the image {image}" for image in page.wordless]
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if not target.exists():
                found.append(f"{name}: there is no {link}")
            elif parts.fragment and target in pages:
                there = unquote(parts.fragment) in pages[target].places
                found += [] if there else [f"{name}: there is no such place: {link}"]
    return found


if __name__ == "__main__":
    lines = problems(Path(sys.argv[1]))
    print("\n".join(lines) or "every link within the site leads somewhere")
    sys.exit(bool(lines))
