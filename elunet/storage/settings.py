"""The settings of all results in a folder, in a JSON file: results of other settings are refused.

A folder may grow: results of more rules or learning rates are added to those that are there.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from elunet.storage.files import read_text, write_json


def claim(
    file: Path,
    settings: Mapping[str, Any],
    growing: Collection[str] = (),
    latest: Collection[str] = (),
) -> dict[str, tuple[Any, Any]]:
    """Write settings into a file, making its folder, unless other settings are there.

    Parameters
    ----------
    file : Path
    settings : mapping of {name: value}
        Plain data, as JSON has it.
    growing : collection of str
        Names of settings that are dicts, and may be dicts of dicts. Keys may be added or left out;
        the file keeps them all. A value that is there and here must be the same.
    latest : collection of str
        Names of settings that are dicts and identify nothing. The file keeps all keys, with the
        latest value of each. If the call has all keys of the file, their order is the call's;
        else it is the file's.

    Returns
    -------
    dict of {name: (there, here)}
        What differs; nothing is written then. In a setting that grows, the name has the keys too:
        "rules fa".

    Raises
    ------
    ValueError
        If what is there makes no sense.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    there = read("claim", file) if file.exists() else {}
    here = dict(settings)
    different: dict[str, tuple[Any, Any]] = {}
    merged = dict(here)
    for name in {**there, **here} if there else ():
        both: tuple[Any, Any] = there.get(name), here.get(name)
        if name in latest:
            old, new = both[0] or {}, both[1] or {}
            merged[name] = new if old.keys() <= new.keys() else old | new
        elif name in growing and isinstance(both[0], dict) and isinstance(both[1], dict):
            merged[name], differing = _merged(*both)
            different |= {f"{name} {path}": pair for path, pair in differing.items()}
        elif both[0] != both[1]:
            different[name] = both
    if not different and merged != there:
        write_json(file, merged)
    return different


def _merged(
    there: Mapping[str, Any], here: Mapping[str, Any]
) -> tuple[Any, dict[str, tuple[Any, Any]]]:
    """Return two dicts in one, in the order that was there, and what differs, by its keys."""
    merged = dict(there)
    different: dict[str, tuple[Any, Any]] = {}
    for key, value in here.items():
        old = there.get(key, value)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[key], below = _merged(old, value)
            different |= {f"{key} {path}".strip(): pair for path, pair in below.items()}
        else:
            merged[key] = value
            if old != value:
                different[str(key)] = old, value
    return merged, different


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
