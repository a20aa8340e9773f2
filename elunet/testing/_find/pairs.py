"""Which gradient belongs to which value, by their names.

Both names are printed paths: ``params['W']``, ``layers[0].W``, ``grads['dW1']``, ``weights.grad``.
`names` reads them and takes the markers of gradients off. The comparison starts strictly and
becomes looser: same letters, same letters in any case, containers left out, synonyms (kernel for
W), other owners. What is ambiguous is left out, never guessed.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from elunet._types import Array
from elunet.testing._find.names import (
    Key,
    gradient_keys,
    inside,
    last_name,
    meaning_of,
    value_keys,
    without_containers,
)


def pair(values: Mapping[str, Array], gradients: Mapping[str, Array]) -> dict[str, str]:
    """Return which gradient belongs to which value, according to their names.

    Parameters
    ----------
    values : mapping
        Arrays by their printed path. Gradients may be among them: what is a gradient of another
        value is not itself paired.
    gradients : mapping
        Arrays by their printed path. The values may be among them, then only what is marked as a
        gradient counts; else all of them do, so that in a dict of gradients "W" may stand for dW.

    Returns
    -------
    dict
        From a value's path to its gradient's. A pair whose names are alike is returned also if the
        shapes differ; loosely similar names have to have the same shape.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.testing._find.pairs import pair
    >>> W, b = np.ones((3, 2)), np.ones(2)
    >>> pair({"params['W1']": W, "bias": b}, {"dLdW1": W, "bias_gradient": b})
    {"params['W1']": 'dLdW1', 'bias': 'bias_gradient'}
    """
    matching = _Matching(values, gradients)
    matching.run(unmarked=False)
    if not any(_is_same(values.get(path), array) for path, array in gradients.items()):
        matching.run(unmarked=True)
    return {path: matching.found[path] for path in values if path in matching.found}


def closest(name: str, values: Mapping[str, Array], gradients: Mapping[str, Array]) -> list[str]:
    """Return up to three gradients of a value's shape, the most similar names first.

    Parameters
    ----------
    name : str
        The value's path.
    values, gradients : mapping
        As for `pair`; gradients that belong to others should have been taken out.

    Returns
    -------
    list of str
    """
    shape = np.shape(values[name])
    fitting = [
        path
        for path, array in gradients.items()
        if path != name and np.shape(array) == shape and not _is_same(values.get(path), array)
    ]

    def distance(path: str) -> tuple[bool, float]:
        marked = any(True for _ in gradient_keys(path, str.lower, False, False))
        return not marked, -difflib.SequenceMatcher(None, path.lower(), name.lower()).ratio()

    return sorted(fitting, key=distance)[:3]


class _Matching:
    """The pairs found so far; each round looks at what is left."""

    def __init__(self, values: Mapping[str, Array], gradients: Mapping[str, Array]) -> None:
        self.values, self.gradients = values, gradients
        self.found: dict[str, str] = {}

    def run(self, unmarked: bool) -> None:
        """Go through all rounds, the strictest first."""
        for of_value, of_gradient, shaped in _rounds(unmarked):
            while self._round(of_value, of_gradient, shaped):
                pass

    def _round(self, of_value: _Keys, of_gradient: _Keys, shaped: bool) -> bool:
        """Add the pairs that are unique in this round; return whether there were any."""
        taken = set(self.found.values())
        by_key: dict[Key, list[str]] = {}
        for path in self.gradients:
            if path not in taken:
                for key in set(of_gradient(path)):
                    by_key.setdefault(key, []).append(path)
        candidates: dict[str, list[str]] = {}
        for path in self.values:
            if path in self.found or path in taken:
                continue
            fitting = {g for key in set(of_value(path)) for g in by_key.get(key, ())}
            fitting = {g for g in fitting if not self._itself(path, g)}
            chosen = self._narrowed(path, fitting, shaped)
            if chosen:
                candidates[path] = chosen
        claims: dict[str, list[str]] = {}
        for path, chosen in candidates.items():
            for g in chosen:
                claims.setdefault(g, []).append(path)
        new = {}
        for path, chosen in candidates.items():
            if len(chosen) == 1:
                rivals = claims[chosen[0]]
                fits = [v for v in rivals if self._fits(v, chosen[0])]
                if rivals == [path] or fits == [path]:
                    new[path] = chosen[0]
        self.found.update(new)
        return bool(new)

    def _itself(self, path: str, gradient: str) -> bool:
        return path == gradient and _is_same(self.values[path], self.gradients[gradient])

    def _fits(self, path: str, gradient: str) -> bool:
        return np.shape(self.values[path]) == np.shape(self.gradients[gradient])

    def _narrowed(self, path: str, fitting: set[str], shaped: bool) -> list[str]:
        """Return the candidates, those of the value's shape if there are several."""
        ordered = [g for g in self.gradients if g in fitting]
        same = [g for g in ordered if self._fits(path, g)]
        if shaped or (len(ordered) > 1 and same):
            ordered = same
        once: dict[int, str] = {}
        for g in ordered:  # one array in several places is one candidate
            once.setdefault(id(self.gradients[g]), g)
        return list(once.values())


_Keys = Callable[[str], Iterable[Key]]


def _rounds(unmarked: bool) -> list[tuple[_Keys, _Keys, bool]]:
    """Return for each round the keys of a value, those of a gradient, and if shapes must agree."""

    def gradient(
        letters: Callable[[str], str] = str.lower,
        weak: bool = False,
        change: Callable[[Key], Key] = lambda key: key,
    ) -> _Keys:
        return lambda path: map(change, gradient_keys(path, letters, weak, unmarked))

    def value(
        letters: Callable[[str], str] = str.lower,
        loose: bool = False,
        change: Callable[[Key], Key] = lambda key: key,
    ) -> _Keys:
        return lambda path: map(change, value_keys(path, letters, loose))

    def meaning(key: Key) -> Key:
        return tuple(meaning_of(step) for step in without_containers(key))

    def last(key: Key) -> Key:
        return last_name(without_containers(key))

    def cached(key: Key) -> Key:
        return last_name(without_containers(key), caches=True)

    def alike(key: Key) -> Key:
        return last_name(meaning(key))

    return [
        (value(str), gradient(str), False),
        (value(), gradient(), False),
        (value(change=without_containers), gradient(change=without_containers), False),
        (value(), gradient(weak=True), True),
        (value(loose=True), gradient(), True),
        (value(change=inside), gradient(), True),
        (value(change=inside), gradient(change=without_containers), True),
        (value(change=meaning), gradient(change=meaning), True),
        (value(change=last), gradient(change=last), True),
        (value(change=alike), gradient(change=alike), True),
        # Only a marked name: the cache's W is the weight, or what an optimizer remembers of it.
        *([] if unmarked else [(value(change=last), gradient(change=cached), True)]),
    ]


def _is_same(value: Array | None, gradient: Array) -> bool:
    if value is None:
        return False
    return value is gradient or bool(
        np.shape(value) == np.shape(gradient) and np.array_equal(value, gradient)
    )
