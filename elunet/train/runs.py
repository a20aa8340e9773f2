"""A whole run as one file: everything that its next step depends on.

`capture` reads a trainer into plain data (numbers, texts, arrays), `apply` puts it back; between
them lies one safetensors file, in which the arrays have names and all else is one line of JSON.
Weights and layer state are named as in a file of `elunet.save`, so `elunet.load` reads them too.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import platform
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from elunet._types import Array
from elunet.parallel import get_num_threads
from elunet.storage.weights import NONSENSE, decode, encode, fitting, network_arrays
from elunet.train.callbacks import Callback
from elunet.train.evaluation import Mean
from elunet.train.folders import LATEST, PREVIOUS, find
from elunet.train.guards import Spikes
from elunet.train.history import History

if TYPE_CHECKING:
    from elunet.train import Trainer

ROWS = 1 << 24  # bytes of data that are hashed at a time

Tree = dict[str, Any]


def read(path: str | os.PathLike[str]) -> tuple[Path, Tree, dict[str, Array]]:
    """Return a run's checkpoint: its file, what `capture` gave, and the network's arrays.

    Raises
    ------
    ValueError
        If it is no such file, or it is damaged; if there is one from before, it is named.
    OSError
        If it cannot be read.
    """
    file = find(path)
    try:
        tree, arrays = _parse(file)
    except ValueError as error:
        older = file.with_name(PREVIOUS)
        if file.name != LATEST or not older.is_file():
            raise
        raise ValueError(f"{error}\nThe checkpoint before it is {older}.") from error
    return file, tree, {key: value for key, value in arrays.items() if not key.startswith(".")}


def _parse(file: Path) -> tuple[Tree, dict[str, Array]]:
    arrays, note = decode("Trainer.resume", file, file.read_bytes())
    if not note:
        raise ValueError(
            f"Trainer.resume: expected {file} as a whole run's checkpoint, got weights only;"
            " elunet.load reads them"
        )
    try:
        tree = unpack(json.loads(note), arrays)
    except NONSENSE as error:
        raise broken(file, error) from error
    if not isinstance(tree, dict) or tree.get("kind") != "run":
        raise ValueError(f"Trainer.resume: expected {file} as a run's checkpoint, got another kind")
    return tree, arrays


def about(path: str | os.PathLike[str]) -> Tree:
    """Return what a run's checkpoint says of itself.

    Parameters
    ----------
    path : path
        A file, or a folder of `Checkpoints`.

    Returns
    -------
    dict
        "recipe" as it was given to the trainer, "setup" (layers, optimizer, ... as texts), "made"
        (versions, threads), "step", "epochs" (complete ones) and "history".

    Raises
    ------
    ValueError, OSError
        If it is no checkpoint of a run, or cannot be read.
    """
    file, tree, _ = read(path)
    try:
        history = History.from_text(tree["history"], str(file))
        found = {key: tree[key] for key in ("recipe", "setup", "made")}
        return found | {
            "step": int(tree["optimizer"]["steps"]),
            "epochs": len(history),
            "history": history,
        }
    except NONSENSE as error:
        raise broken(file, error) from error


def broken(file: Path, error: Exception) -> ValueError:
    """Return the error about a checkpoint whose content makes no sense."""
    return ValueError(
        f"Trainer.resume: expected {file} as a run's checkpoint, got a broken one:"
        f" {type(error).__name__}: {str(error)[:500]}"
    )


# Plain data and JSON -------------------------------------------------------------------------


def pack(tree: Any, arrays: dict[str, Array], path: str = "") -> Any:
    """Return plain data for JSON, and put its arrays, the very ones, into `arrays` by name.

    Raises
    ------
    TypeError
        If there is something else in it than dicts with text keys, lists, texts, numbers, arrays.
    """
    if tree is None or isinstance(tree, str | bool | int):
        return tree
    if isinstance(tree, np.bool_ | np.integer | np.floating):
        return pack(tree.item(), arrays, path)
    if isinstance(tree, float):
        return tree if math.isfinite(tree) else {"$float": repr(tree)}
    if isinstance(tree, np.ndarray):
        name = path
        while name in arrays:
            name += "'"
        arrays[name] = tree
        return {"$array": name}
    if isinstance(tree, list | tuple):
        return [pack(item, arrays, f"{path}.{place}") for place, item in enumerate(tree)]
    if isinstance(tree, Mapping):
        for key in tree:
            if not isinstance(key, str) or key.startswith("$"):
                raise TypeError(f"save: expected text keys in {path or 'the state'}, got {key!r}")
        return {key: pack(item, arrays, f"{path}.{key}") for key, item in tree.items()}
    raise TypeError(
        f"save: expected {path or 'the state'} as dicts, lists, texts, numbers and arrays, got a"
        f" {type(tree).__name__}"
    )


def unpack(plain: Any, arrays: Mapping[str, Array]) -> Any:
    """Return what was packed."""
    if isinstance(plain, list):
        return [unpack(item, arrays) for item in plain]
    if isinstance(plain, dict):
        if plain.keys() == {"$array"}:
            return arrays[plain["$array"]]
        if plain.keys() == {"$float"}:
            return float(plain["$float"])
        return {key: unpack(item, arrays) for key, item in plain.items()}
    return plain


# A trainer's state ---------------------------------------------------------------------------


def content_of(trainer: Trainer) -> bytes:
    """Return a checkpoint file's content."""
    arrays: dict[str, Array] = {}
    plain = pack(capture(trainer), arrays)
    note = json.dumps(plain, allow_nan=False, separators=(",", ":"))
    return encode(network_arrays(trainer.net) | arrays, note)


def capture(trainer: Trainer) -> Tree:
    """Return everything but the network's arrays."""
    optimizer, batches, run = trainer.optimizer, trainer._batches, trainer._run
    return {
        "kind": "run",
        "made": _made(),
        "recipe": trainer.recipe,
        "setup": run.setup or setup(trainer),
        "history": trainer.history.to_text(),
        "run": {
            "begun": run.begun,
            "passed": run.passed,
            "learning_rate": run.learning_rate,
            "mean": None if run.mean is None else [run.mean.loss, run.mean.hits, run.mean.count],
            "spike_count": run.spike_count,
            "losses": run.spikes.losses,
            "pass_seconds": run.pass_seconds,
            "seconds": run.seconds,
        },
        "optimizer": {
            "steps": optimizer.steps,
            "epoch": optimizer.epoch,
            "state": optimizer.state,
        },
        "router": trainer.router.state(),
        "generators": {
            node.name: node.layer.rng.bit_generator.state
            for node in trainer.net.nodes
            if node.layer.rng is not None
        },
        "batches": None if batches is None else batches.state(),
        "data": _data(trainer),
        "callbacks": [[type(one).__name__, one.state()] for one in with_state(trainer)],
    }


def apply(trainer: Trainer, file: Path, tree: Tree, arrays: dict[str, Array]) -> None:
    """Put a state into a trainer, all of it or nothing.

    Raises
    ------
    ValueError
        If it does not fit.
    """
    before = copy.deepcopy(capture(trainer)), _copied(network_arrays(trainer.net))
    try:
        _check(trainer, file, tree, arrays)
        _put(trainer, tree, arrays)
    except Exception as error:
        _put(trainer, *before)
        if isinstance(error, ValueError) and str(error).startswith("Trainer.resume"):
            raise
        raise broken(file, error) from error


def _check(trainer: Trainer, file: Path, tree: Tree, arrays: dict[str, Array]) -> None:
    """Raise if something would not fit."""
    values = fitting("Trainer.resume", file, network_arrays(trainer.net), arrays, cast=False)
    weights = {name: values[name] for name in trainer.net.parameters()}
    for name in ("steps", "epoch"):
        _whole(f"optimizer's {name}", tree["optimizer"][name])
    if (tree["data"] is None) != (tree["batches"] is None):
        raise ValueError("data without batches, or batches without data")
    if tree["data"] is not None and tree["data"].keys() != {"train", "validation"}:
        raise ValueError(f"data are of {sorted(tree['data'])}")
    epochs, begun = len(History.from_text(tree["history"], "its history")), tree["run"]["begun"]
    if begun is not None and _whole("begun", begun) > epochs:
        raise ValueError(f"{epochs} epochs are complete, and it began after {begun}")
    trial = copy.copy(trainer.optimizer)
    trial.state = tree["optimizer"]["state"]
    trial.steps, trial.epoch = tree["optimizer"]["steps"], tree["optimizer"]["epoch"]
    trial.check(weights, weights)  # gradients have their weights' shapes
    if trial.state and not weights.keys() <= trial.state.keys():
        raise ValueError(f"optimizer's state lacks {sorted(weights.keys() - trial.state.keys())}")
    for name, slots in trial.state.items():
        for slot, value in slots.items():
            if value.dtype.kind != "f" or not np.isfinite(value).all():
                raise ValueError(f"a {slot} of {name} that is no finite float array")
    names = {node.name for node in trainer.net.nodes if node.layer.rng is not None}
    if tree["generators"].keys() != names:
        raise ValueError(f"generators of {sorted(tree['generators'])} for layers {sorted(names)}")


def _whole(name: str, value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise ValueError(f"{name} is {value!r}")
    return value


def _put(trainer: Trainer, tree: Tree, arrays: Mapping[str, Array]) -> None:
    """Put a state into a trainer."""
    for node in trainer.net.nodes:
        for values in (node.layer.params, node.layer.state):
            for key, there in values.items():
                new = arrays[f"{node.name}.{key}"]
                if there.dtype == new.dtype and there.flags.writeable:
                    there[...] = new  # in place: a view that somebody holds stays valid
                else:
                    values[key] = new.copy()
        if node.layer.rng is not None:
            node.layer.rng.bit_generator.state = tree["generators"][node.name]
    optimizer, stored = trainer.optimizer, tree["optimizer"]
    optimizer.state = {name: _copied(slots) for name, slots in stored["state"].items()}
    optimizer.steps, optimizer.epoch = stored["steps"], stored["epoch"]
    trainer.router.restore(tree["router"])
    for callback, (_, state) in zip(with_state(trainer), tree["callbacks"], strict=True):
        callback.restore(state)
    trainer.history[:] = History.from_text(tree["history"], "the checkpoint")
    trainer._run = Run.of(tree["run"])


def _copied(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name: value.copy() for name, value in arrays.items()}


class Run:
    """How far `Trainer.fit` has come.

    Attributes
    ----------
    begun : int or None
        Epochs that were complete when the `fit` that is under way, or was cut, began.
    mean : Mean or None
        Of the epoch under way; None between epochs.
    passed : bool
        Whether its pass is complete and only its validation is to come.
    learning_rate : float
        Of its first step.
    spike_count : int
        Spikes in it.
    pass_seconds, seconds : float
        Time of its pass; time of all passes and validations.
    spikes : Spikes
    setup : dict or None
        What the trainer was when `fit` began.
    """

    def __init__(self) -> None:
        self.begun: int | None = None
        self.seconds = 0.0
        self.spikes = Spikes()
        self.setup: dict[str, str] | None = None
        self.drop()

    def drop(self) -> None:
        """Forget the epoch under way."""
        self.mean: Mean | None = None
        self.passed = False
        self.learning_rate = self.pass_seconds = 0.0
        self.spike_count = 0

    @classmethod
    def of(cls, state: Tree) -> Run:
        """Return a run of `capture`."""
        run = cls()
        if state["begun"] is not None:
            run.begun = _whole("begun", state["begun"])
        if state["mean"] is not None:
            loss, hits, count = state["mean"]
            run.mean = Mean(float(loss), float(hits), _whole("count", count))
        run.passed = bool(state["passed"])
        run.learning_rate, run.seconds = float(state["learning_rate"]), float(state["seconds"])
        run.pass_seconds = float(state["pass_seconds"])
        run.spike_count = _whole("spike_count", state["spike_count"])
        run.spikes = Spikes([float(value) for value in state["losses"]])
        return run


def with_state(trainer: Trainer) -> list[Callback]:
    """Return the callbacks that have a state."""
    return [one for one in trainer.callbacks if type(one).state is not Callback.state]


# What a run is of ----------------------------------------------------------------------------


def setup(trainer: Trainer) -> dict[str, str]:
    """Describe a trainer in short texts, to tell two apart."""
    described = {
        f"layer {node.name}": f"{node.layer!r} of {', '.join(node.inputs)}"
        for node in trainer.net.nodes
    }
    for name in ("loss", "optimizer", "router", "batch_size", "augment"):
        described[name] = repr(getattr(trainer, name))
    if isinstance(trainer.seed, int | None):
        described["seed"] = repr(trainer.seed)
    described["callbacks"] = repr([type(one).__name__ for one in with_state(trainer)])
    return {name: re.sub(r" at 0x[0-9a-fA-F]+", "", text) for name, text in described.items()}


def check_same(trainer: Trainer, file: Path, tree: Tree, allow: Collection[str]) -> list[str]:
    """Raise if a trainer is not the one of a checkpoint; return in which versions they differ.

    Raises
    ------
    ValueError
        With a list of the differences.
    """
    try:
        found = _differences(trainer, tree, allow)
        versions = other_versions(tree["made"], allow)
    except NONSENSE as error:
        raise broken(file, error) from error
    if found:
        listed = "\n".join(found)
        raise ValueError(
            f"Trainer.resume: expected the trainer of {file}, got differences:\n{listed}"
        )
    return versions


def _differences(trainer: Trainer, tree: Tree, allow: Collection[str]) -> list[str]:
    theirs = tree["setup"] | {f"recipe {key}": repr(value) for key, value in tree["recipe"].items()}
    ours = setup(trainer) | {f"recipe {key}": repr(value) for key, value in trainer.recipe.items()}
    return [
        f"  {name}: expected {theirs.get(name, 'none')}, got {ours.get(name, 'none')}"
        for name in theirs | ours
        if theirs.get(name) != ours.get(name) and name.split()[0] not in allow
    ]


def other_versions(made: Mapping[str, Any], allow: Collection[str] = ()) -> list[str]:
    """Return in which versions a checkpoint's makers differ from ours."""
    return [
        f"{key} {made.get(key)}, here {here}"
        for key, here in _made().items()
        if made.get(key) != here and key not in allow
    ]


def plain(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe as a checkpoint would give it back."""
    try:
        found = json.loads(json.dumps(dict(recipe), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TypeError(f"Trainer: expected recipe as plain data for JSON, got {error}") from error
    return dict(found)


class DataIdentity:
    """Tells data sets apart by a SHA-256 of their shapes, dtypes and bytes, taken once for each."""

    def __init__(self) -> None:
        self._known: list[tuple[Any, Any, str]] = []

    def of(self, x: Array, y: Array) -> str:
        """Return the SHA-256."""
        for a, b, code in self._known:
            if a is x and b is y:
                return code
        digest = hashlib.sha256()
        for array in (np.asarray(x), np.asarray(y)):
            digest.update(f"{array.dtype.str} {array.shape}\n".encode())
            rows = max(1, ROWS * len(array) // max(array.nbytes, 1))
            for start in range(0, len(array), rows):
                digest.update(np.ascontiguousarray(array[start : start + rows]).data)
        self._known = [*self._known[-1:], (x, y, digest.hexdigest())]  # a training set, a test set
        return digest.hexdigest()


def _data(trainer: Trainer) -> dict[str, str | None] | None:
    """Return what tells the data of the trainer's current `fit` apart from others."""
    batches, validation = trainer._batches, trainer._validation
    if batches is None:
        return None
    return {
        "train": trainer._identity.of(batches.x, batches.y),
        "validation": None if validation is None else trainer._identity.of(*validation),
    }


def data_differences(trainer: Trainer, expected: Tree, allow: Collection[str]) -> list[str]:
    """Return which of the data given to `fit` are not those of a checkpoint."""
    return [
        f"  {name}: expected data of SHA-256 {str(expected[name])[:12]}, got {str(got)[:12]}"
        for name, got in (_data(trainer) or {}).items()
        if name not in allow and expected.get(name) != got
    ]


def _made() -> dict[str, Any]:
    package = sys.modules[__name__.partition(".")[0]]
    return {
        "elunet": package.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "machine": platform.machine(),
        "threads": get_num_threads(),
    }
