"""A whole run in one file: its state, and a description to check that a trainer can continue it.

The file is an archive (`elunet.storage.archive`). Weights and layer state are named in it as in a
file of `elunet.save`, so `elunet.load` reads them too; other arrays' names begin with a dot.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elunet._group import ALONE, Alone
from elunet._types import Array
from elunet.data import Batches
from elunet.storage import files
from elunet.storage.archive import MALFORMED, decode, encode
from elunet.storage.identity import described
from elunet.storage.trees import Tree, pack, unpack
from elunet.train import datasets, setup, state, versions
from elunet.train.changes import Changes, numbers, put
from elunet.train.folders import LATEST, PREVIOUS, find
from elunet.train.history import History

if TYPE_CHECKING:
    from elunet.train import Trainer

FORMAT = 3


@dataclass(frozen=True)
class SavedRun:
    """The description of a checkpoint: settings, setup, versions, steps and history.

    Attributes
    ----------
    file : pathlib.Path
    settings : dict
        As they were given to the `Trainer`.
    setup : dict of {str: str}
        Layers, optimizer and so on, as texts.
    versions : dict
        Those of elunet, Python, NumPy and numba, the machine, and the number of threads.
    step : int
        Steps that are complete.
    history : History
        The epochs that are complete.

    Examples
    --------
    >>> import elunet as eln
    >>> saved = eln.train.SavedRun("latest.safetensors", {"seed": 3}, {}, {}, 7, eln.History())
    >>> saved.settings["seed"], len(saved.history)
    (3, 0)
    """

    file: Path
    settings: dict[str, Any]
    setup: dict[str, str]
    versions: dict[str, Any]
    step: int
    history: History


def content(trainer: Trainer, changes: Tree, resumed: Tree | None) -> bytes:
    """Return the content of a run's checkpoint.

    Parameters
    ----------
    trainer : Trainer
    changes : dict
        The state of its `Changes`.
    resumed : dict or None
        The checkpoint that it was resumed from, if no `fit` has given it data since: the place in
        the data is still that one's.
    """
    if resumed is not None:
        place, data = resumed["batches"], resumed["data"]
    else:
        batches, place = trainer.batches, None
        if batches is not None:
            place = batches.state() | {"augment": described(batches.augment)}
        data = datasets.fingerprints(trainer)
    tree = {
        "kind": "run",
        "format": FORMAT,
        "versions": versions.current(trainer.group),
        "settings": trainer.settings,
        **changes,
        "batches": place,
        "data": data,
        **state.capture(trainer),
    }
    arrays: dict[str, Array] = {}
    weights = tree["layers"].pop("arrays")
    note = json.dumps(pack(tree, arrays), allow_nan=False, separators=(",", ":"))
    return encode(weights | arrays, note)


def read(path: str | os.PathLike[str], group: Alone = ALONE) -> tuple[Path, Tree]:
    """Return a run's checkpoint: its file, and the tree that was written.

    Of several processes, the first reads it; the others need not see the folder.

    Raises
    ------
    ValueError
        If it is not such a file, or damaged; the message names the checkpoint before, if it exists.
    OSError
        If it cannot be read.
    """
    file, content = group.first(lambda: _read(path))
    try:
        return file, _parse(file, content)
    except ValueError as error:
        older = file.with_name(PREVIOUS)
        if file.name != LATEST or not older.is_file():
            raise
        raise ValueError(f"{error}\nThe checkpoint before it is {older}.") from error


def _read(path: str | os.PathLike[str]) -> tuple[Path, bytes]:
    file = find(path)
    return file, files.read("Trainer.resume", file)


def _parse(file: Path, content: bytes) -> Tree:
    arrays, note = decode("Trainer.resume", file, content)
    if not note:
        raise ValueError(
            f"Trainer.resume: expected {file} as a whole run's checkpoint, got weights only;"
            " elunet.load reads them"
        )
    try:
        tree = json.loads(note)
        if tree["kind"] != "run":
            raise ValueError(f"its kind is {tree['kind']!r}")
        if (version := tree.get("format", 1)) == FORMAT:
            weights = {key: value for key, value in arrays.items() if not key.startswith(".")}
            tree["layers"]["arrays"] = weights
            return dict(unpack(tree, arrays))
    except MALFORMED as error:
        raise broken(file, error) from error
    raise ValueError(
        f"Trainer.resume: expected {file} of format {FORMAT}, got {version!r}: another version of"
        " elunet wrote it; elunet.load can read its weights"
    )


def about(path: str | os.PathLike[str]) -> SavedRun:
    """Return the description of a run's checkpoint.

    Parameters
    ----------
    path : path
        A file, or a folder of `Checkpoints`.

    Returns
    -------
    SavedRun

    Raises
    ------
    ValueError, OSError
        If it is not a run's checkpoint, or cannot be read.

    Examples
    --------
    >>> import elunet as eln
    >>> try:
    ...     print(eln.train.about("runs/none").step)
    ... except OSError as error:
    ...     print(error)
    Trainer.resume: expected a run's checkpoint, got no file runs/none
    """
    file, tree = read(path)
    try:
        history = History.from_text(tree["position"]["history"], str(file))
        settings, texts, made = (tree[name] for name in ("settings", "setup", "versions"))
        return SavedRun(file, settings, texts, made, int(tree["optimizer"]["steps"]), history)
    except MALFORMED as error:
        raise broken(file, error) from error


def check(trainer: Trainer, file: Path, tree: Tree, allow: Collection[str]) -> list[str]:
    """Raise an error unless a trainer has a checkpoint's setup; return differences in versions.

    Raises
    ------
    ValueError
        With a list of the differences.
    """
    try:
        found = setup.differences(trainer, tree["setup"], tree["settings"], allow)
        others = versions.differences(tree["versions"], allow, trainer.group)
    except MALFORMED as error:
        raise broken(file, error) from error
    if found:
        listed = "\n".join(found)
        raise ValueError(
            f"Trainer.resume: expected the trainer of {file}, got differences:\n{listed}"
        )
    return others


def restore(trainer: Trainer, file: Path, tree: Tree, allow: Collection[str]) -> Changes:
    """Put a checkpoint's state into a trainer, all of it or nothing.

    Returns
    -------
    Changes
        Of the trainer, from now on.

    Raises
    ------
    ValueError
        If it does not fit.
    """
    before = numbers(trainer)
    try:
        if (tree["data"] is None) != (tree["batches"] is None):
            raise ValueError("data without batches, or batches without data")
        if tree["data"] is not None and tree["data"].keys() != {"train", "validation"}:
            raise ValueError(f"data are of {sorted(tree['data'])}")
        if not isinstance(tree["batches"], dict | None):
            raise TypeError(f"batches are {tree['batches']!r}")
        changes = Changes.read(tree, allow)
    except Exception as error:
        raise broken(file, error) from error
    try:
        changes.take_up(trainer)
        _restore(trainer, file, tree)
    except BaseException:
        put(trainer, before)
        raise
    return changes


def _restore(trainer: Trainer, file: Path, tree: Tree) -> None:
    try:
        state.restore(trainer, tree)
    except Exception as error:
        raise broken(file, error) from error


def take_up(
    trainer: Trainer, batches: Batches, file: Path, tree: Tree, allow: Collection[str]
) -> None:
    """Restore a checkpoint's position in the data, if a trainer has the same data.

    Raises
    ------
    ValueError
        If the data are others, or the place makes no sense.
    """
    if tree["data"] is None:
        return
    found = datasets.differences(trainer, tree["data"], allow)
    there, here = tree["batches"].get("augment"), described(batches.augment)
    if there != here and "augment" not in allow:
        found.append(f"  augment: {setup.unlike(str(there), here)}")
    if found:
        listed = "\n".join(found)
        raise ValueError(f"Trainer.fit: expected the data of {file}, got:\n{listed}")
    try:
        batches.restore(tree["batches"])
    except MALFORMED as error:
        raise broken(file, error) from error


def broken(file: Path, error: Exception) -> ValueError:
    """Return the error about a checkpoint with invalid content."""
    return ValueError(
        f"Trainer.resume: expected {file} as a run's checkpoint, got a broken one:"
        f" {type(error).__name__}: {str(error)[:500]}"
    )
