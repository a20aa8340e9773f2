"""A folder of checkpoints: the latest, the one before it, and the best."""

from __future__ import annotations

import os
from pathlib import Path

from elunet.storage.files import check_writable, link_atomically, sweep, write_atomically

LATEST, PREVIOUS, BEST = (f"{name}.safetensors" for name in ("latest", "previous", "best"))


def find(path: str | os.PathLike[str]) -> Path:
    """Return the checkpoint that a path means: the file itself, or a folder's latest.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    place = Path(path)
    file = place / LATEST if place.is_dir() else place
    if not file.is_file():
        others = [other for name in (PREVIOUS, BEST) if (other := file.with_name(name)).is_file()]
        there = " or ".join(map(str, others))
        raise FileNotFoundError(
            f"Trainer.resume: expected a run's checkpoint, got no file {file}"
            + (f"; there is {there}, which can be resumed by name" if others else "")
        )
    return file


def prepare(folder: Path) -> None:
    """Make a folder for checkpoints, sweep it, and raise an OSError if it cannot be written to."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (LATEST, PREVIOUS, BEST, "trial"):
        sweep(folder / name)
    check_writable(folder)


def write(path: str | os.PathLike[str], content: bytes, best: bool = False) -> Path:
    """Write a checkpoint to a file, or to a folder, which keeps the one before too.

    A name without an ending means a folder, which is made if it does not exist.
    """
    place = Path(path)
    if not place.suffix and not place.is_file():
        place.mkdir(parents=True, exist_ok=True)
    if not place.is_dir():
        write_atomically(place, content)
        return place
    if best:  # first: a run that is killed in between repeats this epoch, and this write
        write_atomically(place / BEST, content)
    latest = place / LATEST

    def keep() -> None:
        if latest.exists():
            link_atomically(latest, place / PREVIOUS)

    write_atomically(latest, content, keep)
    return latest
