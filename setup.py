"""What setup.cfg cannot say: where the project lives, and the README as PyPI shows it.

Metadata and dependencies are in setup.cfg. On PyPI, README's relative links and images lead
nowhere. So they are made absolute where the repository's address is known: as `url` in setup.cfg,
or by the environment (GITHUB_REPOSITORY), as in GitHub's own builds and those of a fork. Where it
is not known, such a link becomes its text, and images are left out.
"""

import configparser
import os
import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)]+)\)")


def address() -> str:
    """Return the repository's address, "" if it is not known."""
    config = configparser.ConfigParser()
    config.read(HERE / "setup.cfg")
    own = os.environ.get("GITHUB_REPOSITORY")
    return f"https://github.com/{own}" if own else config.get("metadata", "url", fallback="")


def absolute(text: str, address: str) -> str:
    """Return Markdown whose links and images do not depend on where it is read."""

    def replace(link: re.Match[str]) -> str:
        image, label, target = link.groups()
        if not address:
            return "" if image else label
        return f"{image}[{label}]({address}/{'raw' if image else 'blob'}/HEAD/{target})"

    return LINK.sub(replace, text)


def project_urls(address: str) -> dict[str, str]:
    """Return what PyPI lists beside the package."""
    pages = {"Source": "", "Documentation": "/tree/HEAD/docs", "Issues": "/issues"}
    pages["Changelog"] = "/blob/HEAD/CHANGELOG.md"
    return {name: address + page for name, page in pages.items()} if address else {}


def mail(address: str) -> str:
    """Return GitHub's address for the repository's owner, which takes no mail."""
    owner = address.removeprefix("https://github.com/").partition("/")[0]
    return f"{owner}@users.noreply.github.com" if owner and "." not in owner else ""


if __name__ == "__main__":
    setup(
        long_description=absolute((HERE / "README.md").read_text("utf-8"), address()),
        url=address() or None,
        author_email=mail(address()) or None,
        project_urls=project_urls(address()),
    )
