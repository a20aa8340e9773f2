"""The values that a layer learns, each with its gradient; and what moves the output without one.

Arrays and numbers that a layer holds are found by `places`, and their gradients by name, by
`pairs`. Whatever is left is changed a little: if the output moves, a gradient is missing, and the
check may not say "ok".
"""

from __future__ import annotations

import copy
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._find.pairs import pair
from elunet.testing._find.places import (
    GLOBALS,
    Place,
    is_number,
    is_unreadable,
    lookup,
    numeric_places,
    walk,
)

Given = Mapping[str, "str | Callable[[Any], Any] | None"]

WEIGHT = re.compile(r"_*(w|b|weights?|bias(es)?|gamma)\d*_*", re.IGNORECASE)
"""Names of numbers that are learned; other numbers without a gradient are settings."""
LONG = 100
"""From here on the numbers in a list are taken together; before, each is a value of its own."""
ITEM = re.compile(r"(.+)\[\d+\]")
STATISTIC = re.compile(r"(^|\.)(state|buffers)\[|(^|\W)(running|moving|ema)_")
"""Paths of what forward averages over batches: it moves the output, and is not learned."""


@dataclass(eq=False)
class Value:
    """A value that the layer learns, in every place where the layer holds it."""

    symbol: str
    """Its name in messages: "W", "params['W']", "cell.Wx"."""
    name: str
    """The gradient's: "dW", "grads['W']"."""
    work: Array
    """The array itself, or of a number an array of no dimensions."""
    places: list[Place]
    gradient: Callable[[], Any] = field(repr=False)
    """Return the gradient of the last backward pass, None if there is none."""
    adds_up: bool = False
    """Whether the gradient is kept in an object beside the value, which adds up."""

    @property
    def content(self) -> Array:
        """A copy of what the layer holds now."""
        return np.array(self.places[0].get(), dtype=self.work.dtype)

    @property
    def given(self) -> Any:
        """A copy of the array; of a number the number."""
        return self.work.copy() if self.work.shape else float(self.work)

    def is_seen_through(self, others: Iterable[Any]) -> bool:
        """Whether another array is a view of this one, so that no other array can replace it."""
        return any(
            isinstance(other, np.ndarray)
            and other is not self.work
            and np.may_share_memory(other, self.work)
            for other in others
        )

    @property
    def is_in_place(self) -> bool:
        """Whether the layer still holds this array, or it as a kind of its own (np.matrix)."""
        now = self.places[0].get()
        other = isinstance(now, np.ndarray) and type(now) is not type(self.work)
        return (
            not self.work.shape
            or now is self.work
            or (other and now.shape == self.work.shape and np.may_share_memory(now, self.work))
        )

    def set(self, content: Array) -> None:
        """Write other numbers into the array, and see to it that the layer holds this array."""
        if content is not self.work:
            self.work[...] = content
        self.replace(self.work)

    def replace(self, array: Array) -> None:
        """Put another array into the places, as what is there: np.matrix stays np.matrix."""
        for place in self.places:
            now = place.get()
            if is_number(now):
                place.set(float(array))
            elif now is not array:
                plain = type(now) is type(array) or not isinstance(now, np.ndarray)
                place.set(array if plain else array.view(type(now)))


@dataclass
class Held:
    """What a layer holds and its passes leave alone, by path; one array in many places once."""

    root: Any
    dtype: Any = np.float64
    places: dict[str, list[Place]] = field(default_factory=dict)
    original: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def between(cls, root: Any, first: dict[str, Any], dtype: Any) -> Held:
        """Return what has not changed since `first`, the contents by path after another pass."""
        held = cls(root, dtype)
        by_id: dict[int, str] = {}
        for place in sorted(numeric_places(root), key=_rank):
            value = place.get()
            before = first.get(place.path)
            if before is None or not _equal(before, value):
                continue
            key = by_id.setdefault(id(value), place.path)
            if is_number(value):
                key = place.path
            held.places.setdefault(key, []).append(place)
            held.original[key] = value
        return held


def long_lists(numbers: Collection[str]) -> dict[str, list[str]]:
    """Return the paths of numbers in long lists, by the list's path."""
    found = defaultdict(list)
    for path in numbers:
        if match := ITEM.fullmatch(path):
            found[match[1]].append(path)
    return {name: items for name, items in found.items() if len(items) > LONG}


def contents(root: Any) -> dict[str, Any]:
    """Return copies of all numbers and arrays that an object holds, by path."""
    return {place.path: copy.copy(place.get()) for place in numeric_places(root)}


def _equal(a: Any, b: Any) -> bool:
    return np.shape(a) == np.shape(b) and bool(np.array_equal(a, b, equal_nan=True))


def _rank(place: Place) -> tuple[bool, bool, bool, int]:
    """Order the places of one array: the one after which it is named comes first."""
    last = place.path.rpartition(".")[2]
    listed = re.search(r"(^|\.)(params|parameters)\[", place.path) is not None
    is_global = place.path.startswith(f"{GLOBALS}.")
    depth = place.path.count(".") + place.path.count("[")
    return not listed, is_global, last.startswith("_"), depth


def in_dtype(root: Any, dtype: Any) -> None:
    """Replace all arrays of real numbers that an object holds by copies in this dtype.

    Arrays that have it already stay. Views of one array become views of its copy. All arrays,
    because a gradient that is written into its old array must keep the precision.
    """
    dtype = np.dtype(dtype)
    owners: dict[int, tuple[Array, Array]] = {}
    made: dict[int, Array] = {}
    for place in numeric_places(root):
        value = place.get()
        if isinstance(value, np.floating):
            place.set(float(value))
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
            if value.dtype == dtype and value.flags.writeable and value.flags.aligned:
                continue
            if id(value) not in made:
                made[id(value)] = _converted(value, dtype, owners)
            place.set(made[id(value)])


def _converted(value: Array, dtype: np.dtype[Any], owners: dict[int, tuple[Array, Array]]) -> Array:
    """Return value in another dtype; as a view of the converted owner of its memory."""
    owner = value
    while isinstance(owner.base, np.ndarray) and owner.base.dtype == value.dtype:
        owner = owner.base
    if not (owner.flags.c_contiguous or owner.flags.f_contiguous):
        return np.array(value, dtype=dtype)
    if id(owner) not in owners:
        owners[id(owner)] = (owner, owner.astype(dtype, order="K").ravel(order="K"))
    flat = owners[id(owner)][1]
    start = (value.ctypes.data - owner.ctypes.data) // value.itemsize * dtype.itemsize
    strides = [step // value.itemsize * dtype.itemsize for step in value.strides]
    return np.ndarray(value.shape, dtype, flat.data, start, strides)


def _asked(source: Callable[[Any], Any], root: Any) -> Any:
    """Return the gradient from a user's function, None while it is not there."""
    try:
        return source(root)
    except (AttributeError, LookupError):
        return None


def _pairs(values: Mapping[str, Array], arrays: Mapping[str, Array]) -> dict[str, str]:
    """Pair by name; of a long list of numbers only the first, which stands for all."""
    lists = long_lists({path for path, value in {**arrays, **values}.items() if not value.shape})
    later = {path for items in lists.values() for path in items if not path.endswith("[0]")}
    found = pair(
        {path: value for path, value in values.items() if path not in later},
        {path: array for path, array in arrays.items() if path not in later},
    )
    for path, name in list(found.items()):
        for item in lists.get(path.removesuffix("[0]"), ()):
            other = f"{name.removesuffix('[0]')}[{item.rpartition('[')[2]}"
            if item in values and other in arrays:
                found[item] = other
    return found


def pair_up(
    held: Held, returned: Mapping[str, Any], given: Given, who: str
) -> tuple[list[Value], dict[str, Any]]:
    """Return the values that have a gradient, and what else is held, by path.

    Parameters
    ----------
    held : Held
    returned : mapping
        Gradients that backward returned, by the value's path.
    given : mapping
        What the user said of single values; None marks a constant, which is left out of both.
    who : str
        The layer, for an error.

    Raises
    ------
    ValueError
        If `given` names something that the layer does not hold.
    """
    values = {path: np.asarray(value) for path, value in held.original.items()}
    unread = {place.path for place in walk(held.root) if is_unreadable(place.get())}
    for path, source in given.items():
        if path not in values and not (source is None and path in unread):
            raise ValueError(
                f"{who}: expected gradients= to name what the layer holds "
                f"({', '.join(values) or 'nothing'}), got {path!r}"
            )
    now = {place.path: np.asarray(place.get()) for place in numeric_places(held.root)}
    open_values = {p: v for p, v in values.items() if p not in given and p not in returned}
    pairs = _pairs(open_values, now)
    found = []
    for path, value in values.items():
        source = given.get(path) if path in given else pairs.get(path)
        if path in pairs.values() or (path in given and source is None):
            continue
        if path in returned:
            getter: Callable[[], Any] = partial(returned.get, path)
            name = f"d{path}"
        elif callable(source):
            getter, name = partial(_asked, source, held.root), f"d{path}"
        elif source is not None:
            getter, name = partial(lookup, held.root, source), source
        else:
            continue
        places = held.places[path]
        work = value if value.dtype == held.dtype and value.shape else value.astype(held.dtype)
        beside = name.rpartition(".")[2] in ("grad", "gradient") and "." in name
        found.append(Value(path, name, work, places, getter, beside))
    taken = {*pairs.values(), *(value.symbol for value in found), *given}
    return found, {path: value for path, value in held.original.items() if path not in taken}
