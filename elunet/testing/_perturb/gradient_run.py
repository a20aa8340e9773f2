"""Run f and its gradient for `check_gradient`, at values that can be replaced.

If f takes the values it is given copies; if it takes nothing, the arrays that it reads are changed
where they are, and restored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._call.passes import name_of
from elunet.testing._call.signatures import is_readable, parameters_of, returned_names
from elunet.testing._find.places import Place, is_number, numeric_places
from elunet.testing._find.returned import Claim, Getter, UnmatchedError, claims_in
from elunet.testing._find.structures import Structure, copied, printed
from elunet.testing._perturb.moves import real
from elunet.testing._perturb.problem import Changed, Problem
from elunet.testing._perturb.snapshot import Randomness


class Run:
    """f and its gradient at values that can be replaced."""

    def __init__(
        self,
        f: Callable[..., Any],
        gradient: Callable[..., Any],
        given: dict[str, Getter],
        dtype: np.dtype[Any],
        randomness: Randomness,
    ) -> None:
        self.f, self.gradient, self.given = f, gradient, given
        self.dtype, self.randomness = dtype, randomness
        self.name = name_of(f)
        self.in_place = not _takes_values(f)

    def problem(self, values: Any) -> Problem:
        """Return what is to be checked.

        Raises
        ------
        TypeError, ValueError
            If the values cannot be changed.
        """
        values = values if self.in_place or not _is_plain(values) else np.asarray(values)
        self.structure = Structure({"values": values})
        if not self.structure.leaves:
            got = "complex ones" if np.iscomplexobj(values) else "none"
            raise TypeError(f"check_gradient: expected arrays of real numbers in values, got {got}")
        self.keyed = isinstance(values, dict)
        leaves = {self.shown(p): leaf for p, leaf in self.structure.leaves.items()}
        for path in self.given:
            if path not in leaves:
                raise ValueError(
                    f"check_gradient: expected gradients= to name values ({', '.join(leaves)}), "
                    f"got {path!r}"
                )
        if self.in_place:
            self.places = self._places(values)
        else:
            self.structure = self.structure.with_leaves(self._real)
            leaves = {self.shown(p): leaf for p, leaf in self.structure.leaves.items()}
        self.result = Problem(
            self.name,
            {path: leaf if is_number(leaf) else np.array(leaf) for path, leaf in leaves.items()},
            self.output,
            self.claims,
            lambda rng, y: np.ones_like(y),
            constants={path for path, source in self.given.items() if source is None},
            is_scored=True,
            all_learned=True,
            how=self.how,
            advice="move the values away from it",
            dtype=self.dtype,
            notes=self.structure.unlooked,
        )
        y = self.output({})
        if self.output({}) != y:
            raise self.result.error("is not deterministic: the same values give another number")
        return self.result

    def shown(self, path: str) -> str:
        """Return a leaf's path as it is printed: W1 for values['W1']."""
        rest = path.removeprefix("values")
        end = rest.find("]")
        if not self.keyed or end < 0:
            return path
        return rest[1:end].strip("'\"") + rest[end + 1 :]

    def _real(self, path: str, leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray | np.floating):
            return real(leaf, f"check_gradient: {self.shown(path)}").astype(self.dtype)[()]
        return float(leaf)

    def _places(self, values: Any) -> dict[str, Place]:
        """Return the places of the leaves, which are changed where they are."""
        root = {"values": values}
        places = {self.shown(printed(place)): place for place in numeric_places(root, shared=False)}
        for path, place in places.items():
            leaf = place.get()
            if is_number(leaf) and not isinstance(place.holder, tuple) and place.above:
                continue
            locked = isinstance(leaf, np.ndarray) and not leaf.flags.writeable
            if locked or not isinstance(leaf, np.ndarray) or leaf.dtype != self.dtype:
                kind = leaf.dtype if isinstance(leaf, np.ndarray) else type(leaf).__name__
                kind = "a read-only one" if locked else kind
                raise TypeError(
                    f"check_gradient: expected {path} as an array of {self.dtype}, which can be "
                    f"changed in place for a function without arguments, got {kind}; convert it, "
                    "or let f and gradient take the values"
                )
        return places

    def _call(self, function: Callable[..., Any], changed: Changed) -> Any:
        """Call f or gradient at the values, some of them replaced."""
        if _takes_values(function):
            named = {path: changed.get(self.shown(path), leaf) for path, leaf in self._now()}
            given = self.structure.copy(named)["values"]
            result = function(given)
            for path, leaf in Structure({"values": given}).leaves.items():
                if path in named and not np.array_equal(leaf, named[path], equal_nan=True):
                    raise self.result.error(f"{name_of(function)} changed {self.shown(path)}")
            return result
        return function()

    def _now(self) -> list[tuple[str, Any]]:
        return list(Structure(self.structure.named).leaves.items())

    def _within(self, changed: Changed, then: Callable[[], Any]) -> Any:
        """Do something while the values are replaced in place."""
        self.randomness.restore()
        if not self.in_place:
            return then()
        before = {path: copied(place.get()) for path, place in self.places.items()}
        try:
            for path, value in changed.items():
                _put(self.places[path], value)
            return then()
        finally:
            for path, value in before.items():
                _put(self.places[path], value)

    def output(self, changed: Changed) -> Array:
        """Return f's number."""
        value = self._within(changed, lambda: self._call(self.f, changed))
        if isinstance(value, tuple | list | dict) or np.size(value) != 1:
            kind = type(value).__name__
            got = f"shape {np.shape(value)}" if isinstance(value, np.ndarray) else kind
            hint = f" (use lambda v: {self.name}(v)[0])" if isinstance(value, tuple) else ""
            raise self.result.error(f"expected one number, got {got}{hint}")
        return np.array(value, dtype=self.dtype).reshape(())

    def claims(self, changed: Changed, dy: Array) -> dict[str, Claim]:
        """Return the gradients by path."""

        def both() -> Any:
            self._call(self.f, changed)
            return copied(self._call(self.gradient, changed))

        self.returned = self._within(changed, both)
        paths = {self.shown(path): path for path in self.structure.leaves}
        found = Structure({"values": self.returned}).leaves
        asked = any(source is not None for source in self.given.values())
        if found and not asked and all(path in self.structure.leaves for path in found):
            return {
                shown: Claim(f"d{shown}", found[path])
                for shown, path in paths.items()
                if path in found and shown not in self.given
            }
        if list(paths) == ["values"]:
            return {"values": Claim("dvalues", self.returned)}
        try:
            shown_names = returned_names(self.gradient)
            return claims_in(self.returned, self.result.values, shown_names, self.given)
        except UnmatchedError as error:
            text = str(error).replace("backward", "gradient").replace("forward takes", "f takes")
            raise self.result.error(f"{name_of(self.gradient)}: {text}") from None

    def how(self, path: str) -> str:
        """Say how to name a value's gradient."""
        return (
            f"\n  return it where {path} is in values, or as {{'d{path}': ...}} in a dict; or say "
            f"that {path} is a constant: gradients={{{path!r}: None}}"
        )


def _takes_values(function: Callable[..., Any]) -> bool:
    taken = parameters_of(function)
    return not is_readable(function) or bool(taken)


def _is_plain(values: Any) -> bool:
    """Whether values are a number, or a list of numbers: an array in another form."""
    if is_number(values):
        return True
    listed = isinstance(values, list | tuple) and len(values) > 0
    return listed and all(is_number(item) for item in values)


def _put(place: Place, value: Any) -> None:
    old = place.get()
    if isinstance(old, np.ndarray):
        old[...] = value
    else:
        place.set(float(value))
