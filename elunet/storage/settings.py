"""The settings of all results in a folder, in a JSON file: results of others are refused."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from elunet.storage.files import read_text, write_json


def claim(
    file: Path, settings: Mapping[str, Any], growing: Collection[str] = ()
) -> dict[str, tuple[Any, Any]]:
    """Write settings into a file, making its folder, unless other settings are there.

    Parameters
    ----------
    file : Path
    settings : mapping of {name: value}
        Plain data, as JSON has it.
    growing : collection of str
        Names of settings that may have more than those there: a list more items, a dict more keys.
        A dict may also leave out keys; the file keeps them.

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
    there, here = read("claim", file) if file.exists() else dict(settings), dict(settings)
    different = {}
    for name in {**there, **here}:
        both = there.get(name), here.get(name)
        if not (_agree(*both) if name in growing else both[0] == both[1]):
            different[name] = both
    if not different:
        write_json(file, here | {name: _union(there[name], here[name]) for name in growing})
    return different


def _agree(there: Any, here: Any) -> bool:
    """Return whether nothing that both have differs, and no list lacks an item that was there."""
    if isinstance(there, dict) and isinstance(here, dict):
        return all(_agree(there[key], here[key]) for key in there.keys() & here.keys())
    if isinstance(there, list) and isinstance(here, list):
        return all(item in here for item in there)
    return bool(there == here)


def _union(there: Any, here: Any) -> Any:
    """Return what is here; of dicts, those keys first, and then the ones that are only there."""
    return {**here, **there, **here} if isinstance(here, dict) else here


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
