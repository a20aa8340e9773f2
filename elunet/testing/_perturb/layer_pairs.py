"""Which of a layer's gradients belongs to which value, found out once both passes have run."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from elunet.testing._find.places import is_numeric, layers_in, numeric_places
from elunet.testing._find.values import Value, pair_up
from elunet.testing._find.variables import attribute_of
from elunet.testing._perturb.layer_run import Runner


def pair_values(run: Runner) -> None:
    """Find out which gradient belongs to which value, after the first backward pass.

    Raises
    ------
    GradientCheckError
        If `params` lists a value for which there is no gradient.
    TypeError
        If `params` lists an array that is made new at each access.
    """
    named = None if run.root is run.layer else run.layer.named()
    if named is not None:
        _pair_named(run, *named)
        return
    run.values, run.unpaired = pair_up(run.held, run.given, run.options.gradients, run.name)
    paths = {place.path for places in run.held.places.values() for place in places}
    for path, part in layers_in(run.root).items():
        params = attribute_of(part, "params")
        keys = range(len(params)) if isinstance(params, list) else params
        if not isinstance(params, dict | list):
            continue
        for key in keys or ():
            symbol = f"{path}.params[{key!r}]".lstrip(".")
            if not is_numeric(params[key]) or symbol in run.options.gradients:
                continue
            if symbol not in paths and not _is_held(run, params[key]):
                raise TypeError(
                    f"expected {symbol} in a dict or an attribute where another array can "
                    "replace it, got one that is made new at each access"
                )
            if symbol in run.unpaired:
                name = f"{path}.grads[{key!r}]".lstrip(".")
                raise run.error(
                    f"backward left no {name} for {symbol}: expected one gradient for each "
                    "parameter",
                    name,
                )


def _pair_named(run: Runner, parameters: dict[str, Any], gradients: dict[str, Any]) -> None:
    """Take the parameters of a network that names them and their gradients alike."""
    paths = {id(value): path for path, value in run.held.original.items()}
    run.values = []
    for name, array in parameters.items():
        path = paths.get(id(array))
        if path is None:
            raise TypeError(
                f"expected {name} in a dict or an attribute where another array can replace "
                "it, got one that is made new at each access"
            )
        if name not in gradients:
            raise run.error(f"backward left no gradient of {name}", name)
        getter = partial(_named_gradient, run, name)
        places = run.held.places[path]
        run.values.append(Value(name, name, array, places, getter))
    taken = {id(array) for array in (*parameters.values(), *gradients.values())}
    held = run.held.original.items()
    run.unpaired = {path: value for path, value in held if id(value) not in taken}


def _named_gradient(run: Runner, name: str) -> Any:
    return run.layer.named()[1].get(name)


def settle_values(run: Runner) -> None:
    """Put integer parameters in as floats, and let gradients that are added up start at 0."""
    for value in run.values:
        value.replace(value.work)
        try:
            gradient = value.gradient()
        except TypeError:  # a user's function, of gradients that are not there yet
            continue
        if not isinstance(gradient, np.ndarray) or gradient.shape != value.work.shape:
            continue
        if gradient.dtype.kind == "f" and gradient.flags.writeable:
            gradient[...] = 0.0
        else:
            for place in numeric_places(run.root):
                if place.get() is gradient:
                    place.set(np.zeros(gradient.shape))


def _is_held(run: Runner, array: Any) -> bool:
    return any(value is array for value in run.held.original.values())
