"""What all results in a folder have in common, in a JSON file, so that others do not join them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elunet.storage.files import write_json


def claim(file: Path, settings: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Write settings into a file, making its folder, unless other settings are there.

    Returns
    -------
    dict of {name: (there, here)}
        What differs; nothing is written then.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    there = json.loads(file.read_text("utf-8")) if file.exists() else settings
    different = {
        name: (there.get(name), settings.get(name))
        for name in {**there, **settings}
        if there.get(name) != settings.get(name)
    }
    if not different:
        write_json(file, settings)
    return different
