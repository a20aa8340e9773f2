"""Never silently unchecked: what moves the output needs a gradient.

Every array and number that the layer holds, and for which no gradient was found, is changed a
little. If the output moves, the check cannot say "ok": an array is an error, a number that is
called like a weight too. Other numbers (alpha, eps) are settings, and what forward averages over
batches are statistics; both are named in the result.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._find.pairs import closest
from elunet.testing._find.places import (
    Place,
    is_number,
    is_unreadable,
    numeric_places,
    unlooked,
    walk,
)
from elunet.testing._find.values import STATISTIC, WEIGHT
from elunet.testing._perturb.layer_run import Runner, Sample
from elunet.testing._perturb.moves import stream


def check_unseen(run: Runner, sample: Sample) -> None:
    """Raise an error for a value that moves the output and has no gradient; note the settings.

    Raises
    ------
    GradientCheckError
        It names the value, and says how to name the gradient.
    """
    settings, statistics = [], []
    trained = run.changes_in_training() if run.unpaired else set()
    for path, content in run.unpaired.items():
        if not moves(run, path, content, sample.y):
            continue
        if STATISTIC.search(path) or path in trained:
            statistics.append(path)
        elif is_number(content) and not is_weight(run, path):
            settings.append(path)
        else:
            raise _unseen(run, path, content)
    _check_unreadable(run, sample.y)
    constants = [path for path, source in run.options.gradients.items() if source is None]
    for names, what in (
        (settings, "a setting, not checked"),
        (statistics, "a running statistic, not checked"),
        (constants, "a constant, as you said, and not checked"),
    ):
        if names:
            run.note(f"{', '.join(names)}: {what}")
    for text in unlooked(run.root):
        run.note(text)


def _check_unreadable(run: Runner, y: Array) -> None:
    """Raise an error for complex numbers or records that move the output."""
    unread = [place for place in walk(run.root) if is_unreadable(place.get())]
    for place in unread:
        if place.path in run.options.gradients:
            continue
        content = place.get()
        if _change([place], run, _nearby(content), content, y):
            kind = "complex numbers" if np.iscomplexobj(content) else "records"
            raise run.error(
                f"{place.path} holds {kind} and moves the output, and was not checked: keep "
                f"{'real and imaginary part' if kind[0] == 'c' else 'the fields'} in arrays of "
                f"real numbers, or say that it is a constant: gradients={{{place.path!r}: None}}",
                place.path,
            )


def _nearby(content: Any) -> Any:
    """Return complex numbers or records that differ a little from these."""
    if np.iscomplexobj(content):
        return content * (1.01 + 0.02j) + 1e-3
    other = content.copy()
    for name in other.dtype.names or ():
        if other.dtype[name].base.kind in "fc":
            other[name] = 1.01 * other[name] + 1e-3
    return other


def is_weight(run: Runner, path: str) -> bool:
    """Whether a number is called like something that is learned."""
    return WEIGHT.fullmatch(path.rpartition(".")[2].strip("]'").rpartition("['")[2]) is not None


def moves(run: Runner, path: str, content: Any, y: Array) -> bool:
    """Whether a change of this value moves the output, smoothly if it is a number."""
    places = run.held.places[path]
    if is_number(content):
        sizes = [abs(_change(places, run, content + h, content, y)) for h in (1e-3, 5e-4)]
        return sizes[1] > 0.0 and 1.4 < sizes[0] / sizes[1] < 2.8
    rng = stream(0, 8)
    scale = float(np.max(np.abs(content), initial=0.0)) or 1.0
    noise = 1e-2 * scale * rng.uniform(0.5, 1.0, content.shape)
    return _change(places, run, content.astype(run.options.dtype) + noise, content, y) != 0.0


def _change(places: list[Place], run: Runner, value: Any, old: Any, y: Array) -> float:
    """Return how far the output moves if the value is replaced; 0 if forward cannot take it."""
    try:
        run.frozen.restore()
        for place in places:
            place.set(value)
        with np.errstate(all="ignore"):
            other = run.forward_again(run.copies())
        if other.shape != y.shape:
            return 0.0
        gap = np.nan_to_num(other - y)
        return float(np.max(np.abs(gap), initial=0.0))
    except Exception:
        return 0.0
    finally:
        for place in places:
            with suppress(LookupError):  # the end of a list that forward makes longer
                place.set(old)


def _unseen(run: Runner, path: str, content: Any) -> Exception:
    values = {p: np.asarray(v) for p, v in run.held.original.items()}
    now = {p.path: np.asarray(p.get()) for p in numeric_places(run.root)}
    paired = {value.name for value in run.values} | {value.symbol for value in run.values}
    free = {p: v for p, v in now.items() if p not in paired and p != path}
    guesses = [guess for guess in closest(path, values, free) if guess not in values]
    found = f"; is it {' or '.join(guesses)}?" if guesses else ""
    last = path.rpartition(".")[2]
    example = guesses[0] if guesses else f"d{last}" if last.isidentifier() else "..."
    return run.error(
        f"{path} moves the output, but no gradient of it was found, so it was not checked{found}\n"
        f"  say where its gradient is: gradients={{{path!r}: {example!r}}}, or that it is a "
        f"constant: gradients={{{path!r}: None}}",
        path,
    )
