"""The settings of all results in a folder, in a JSON file: results of others are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elunet.storage.files import read_text, write_json


def claim(file: Path, settings: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Write settings into a file, making its folder, unless other settings are there.

    Returns
    -------
    dict of {name: (there, here)}
        What differs; nothing is written then.

    Raises
    ------
    ValueError
        If what is there makes no sense.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    there = read("claim", file) if file.exists() else settings
    different = {
        name: (there.get(name), settings.get(name))
        for name in {**there, **settings}
        if there.get(name) != settings.get(name)
    }
    if not different:
        write_json(file, settings)
    return different


def read(owner: str, file: Path) -> dict[str, Any]:
    """Return the settings in a file.

    Raises
    ------
    ValueError
        If it holds something else; the message begins with `owner` and names the file.
    OSError
        If it cannot be read.
    """
    wanted = f"{owner}: expected {file} as settings in JSON, got"
    try:
        found = json.loads(read_text(owner, file))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{wanted} a damaged file: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{wanted} a {type(found).__name__}")
    return found
