"""A folder of checkpoints: the latest, the one before it, and the best."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from elunet.storage.weights import sweep, write_atomically

LATEST, PREVIOUS, BEST = (f"{name}.safetensors" for name in ("latest", "previous", "best"))
TRIAL = "trial"


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
        raise FileNotFoundError(f"Trainer.resume: expected a run's checkpoint, got no file {file}")
    return file


def prepare(folder: Path) -> None:
    """Make a folder for checkpoints, see that it can be written to, and sweep it.

    A process that was killed while it saved leaves its temporary file behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in (LATEST, PREVIOUS, BEST, TRIAL):
        sweep(folder / name)
    trial = folder / f".{TRIAL}.{secrets.token_hex(8)}"
    try:
        trial.write_bytes(b"")
    finally:
        trial.unlink(missing_ok=True)


def write(path: str | os.PathLike[str], content: bytes, best: bool = False) -> Path:
    """Write a checkpoint to a file, or to a folder, where the one before is kept too."""
    place = Path(path)
    if not place.is_dir():
        write_atomically(place, content)
        return place
    if best:  # first: a run that is killed in between does this epoch again, and this as well
        write_atomically(place / BEST, content)
    latest = place / LATEST
    write_atomically(latest, content, lambda: _keep(latest, place / PREVIOUS))
    return latest


def _keep(file: Path, other: Path) -> None:
    """Give a file a second name, at once: a link where there are links, else a copy."""
    if not file.exists():
        return
    link = other.with_name(f".{other.name}.{secrets.token_hex(8)}")
    try:
        os.link(file, link)
    except OSError:
        write_atomically(other, file.read_bytes())
        return
    try:
        os.replace(link, other)
    finally:
        link.unlink(missing_ok=True)  # it stays where both names meant one file already
