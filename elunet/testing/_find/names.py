"""Read the printed path of a value or of a gradient: its steps, its marker, its synonyms.

``grads['dW1']`` is two steps; taken off their markers they say "the W1 of the parameters". Each
path gives one or more keys, tuples of steps, and a value and a gradient with a common key belong
together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import product

Key = tuple[str, ...]

STEP = re.compile(r"\.?([A-Za-z_]\w*)|\[([^\]]+)\]")
PRIVATE = re.compile(r"(?<![A-Za-z0-9_])_[A-Z][A-Za-z0-9]*__(?=[A-Za-z])")
"""What Python puts before ``__W`` in a class: _Dense__W."""
CONTAINER = "<>"
VALUE_CONTAINERS = ("params", "parameters", "param", "parameter", "variables", "parametersdict")
LOOSE_CONTAINERS = ("weights", "weight", "theta", "thetas", "w", "p", "model", "values")
GRADIENT_CONTAINERS = (
    "grads",
    "gradients",
    "grad",
    "gradient",
    "derivatives",
    "deltas",
    "nabla",
    "nablas",
    "dparams",
    "dparameters",
    "dweights",
    "dtheta",
    "paramgrads",
    "gradparams",
    "parametergradients",
    "gradsdict",
    "dp",
    "g",
)
VALUE_ENDS = ("value", "values", "data", "val", "array")
GRADIENT_ENDS = ("grad", "gradient", "grads", "gradients", "g", "diff", "delta", "derivative")
STATE = re.compile(
    r"velocit(y|ies)|v|m|s|moment(s|um)?|mean|cache[s]?|prev(ious)?|old|last|history|avg|average",
    re.IGNORECASE,
)
"""Owners that hold an optimizer's state or a cache: a dW in there is not the gradient."""
CACHE = re.compile(r"_?caches?", re.IGNORECASE)
"""Owners in which some keep their gradients, marked as such, beside what backward needs."""
MARKERS = (
    re.compile(r"d_?(?:l|j|c|e|loss|cost|error)_?d_?(?P<rest>.+)", re.IGNORECASE),
    re.compile(r"(?:d|del|partial)_?(?P<rest>.+)", re.IGNORECASE),
    re.compile(
        r"(?:loss_?)?(?:grad(?:ient)?s?|derivatives?|deriv|nabla|delta)_?(?:of_|for_|wrt_)?"
        r"(?P<rest>.+)",
        re.IGNORECASE,
    ),
    re.compile(r"(?P<rest>.+?)_?(?:grad(?:ient)?s?|derivative|delta|diff|nabla)", re.IGNORECASE),
)
WEAK_MARKERS = (
    re.compile(r"g_?(?P<rest>.+)", re.IGNORECASE),
    re.compile(r"(?P<rest>.+?)_?bar", re.IGNORECASE),
)
SYNONYMS = {
    "w": ("weightmatrix", "weights", "weight", "kernels", "kernel", "filters", "filter", "w"),
    "b": ("biasvector", "biases", "bias", "intercept", "b"),
    "gamma": ("gamma", "scale", "gain"),
    "beta": ("beta", "shift", "offset"),
    "x": ("inputs", "input", "aprev", "xin", "x"),
}


def steps_of(path: str) -> list[tuple[str, bool]]:
    """Split a path into names and indices; the second item says whether it is a name."""
    steps: list[tuple[str, bool]] = []
    position = 0
    path = PRIVATE.sub("", path)
    for step in STEP.finditer(path):
        if step.start() != position:
            break
        position = step.end()
        text = step[1] or step[2]
        if step[1] is None and text[:1] in "'\"":
            inner = text.strip("'\"")
            if inner != text and STEP.match(inner):
                steps += steps_of(inner)
            else:
                steps.append((inner, True))
        else:
            steps.append((text, step[1] is not None))
    if position < len(path):
        return [(path, True)]
    return steps


def _plain(name: str) -> str:
    return name.replace("_", "")


def value_keys(path: str, letters: Callable[[str], str], loose: bool) -> set[Key]:
    steps = steps_of(path)
    forms = []
    for i, (text, named) in enumerate(steps):
        inner = i < len(steps) - 1
        plain = _plain(text).lower()
        containers = (*VALUE_CONTAINERS, *LOOSE_CONTAINERS) if loose else VALUE_CONTAINERS
        if named and inner and plain in containers:
            forms.append([CONTAINER])
        else:
            forms.append([letters(_plain(text))])
    keys = {tuple(one) for one in product(*forms)}
    if len(steps) > 1 and steps[-1][1] and _plain(steps[-1][0]).lower() in VALUE_ENDS:
        keys |= {key[:-1] for key in keys}
    return keys


def gradient_keys(
    path: str, letters: Callable[[str], str], weak: bool, unmarked: bool
) -> Iterable[Key]:
    """Yield a gradient's keys, its markers taken off; only marked ones unless `unmarked`."""
    steps = steps_of(path)
    forms: list[list[tuple[str, bool]]] = []
    for i, (text, named) in enumerate(steps):
        inner = i < len(steps) - 1
        plain = _plain(text).lower()
        if not named:
            forms.append([(text, False)])
        elif inner and plain in GRADIENT_CONTAINERS:
            bare = [(letters(_plain(rest)), True) for rest in readings(text, weak)]
            forms.append([(CONTAINER, True), *bare])
        else:
            bare = [(letters(_plain(rest)), True) for rest in readings(text, weak)]
            forms.append([(letters(_plain(text)), False), *bare])
    for one in product(*forms):
        if unmarked or any(marked for _, marked in one):
            yield tuple(text for text, _ in one)
    if len(steps) > 1 and steps[-1][1] and _plain(steps[-1][0]).lower() in GRADIENT_ENDS:
        yield tuple(letters(_plain(text)) for text, _ in steps[:-1])


def readings(name: str, weak: bool) -> list[str]:
    """Return what a gradient's name may be the gradient of, all readings."""
    stripped = name.strip("_")
    found = [match["rest"] for marker in MARKERS if (match := marker.fullmatch(stripped))]
    if weak:
        found += [match["rest"] for marker in WEAK_MARKERS if (match := marker.fullmatch(stripped))]
    return list(dict.fromkeys(found))


def without_containers(key: Key) -> Key:
    return tuple(step for step in key if step != CONTAINER)


def inside(key: Key) -> Key:
    """Leave out the first step, the container's name: weights['W1'] is W1."""
    return key[1:] if len(key) > 1 and not key[1].isdigit() else key


def last_name(key: Key, caches: bool = False) -> Key:
    """Return the last name and the indices after it, without the owner.

    An owner that holds state stays, except caches if these may hold gradients.
    """
    named = [i for i, step in enumerate(key) if not step.isdigit()]
    if named and caches and all(CACHE.fullmatch(step) for step in key[: named[-1]]):
        return key[named[-1] :]
    if not named or any(STATE.fullmatch(step) for step in key[: named[-1]]):
        return key
    return key[named[-1] :]


def meaning_of(step: str) -> str:
    """Write usual synonyms alike: weights2 and kernel2 are w2."""
    for short, words in SYNONYMS.items():
        for word in words:
            if step == word or (step.startswith(word) and step[len(word) :].isdigit()):
                return short + step[len(word) :]
    return step
