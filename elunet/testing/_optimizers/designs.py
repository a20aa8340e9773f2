"""The design of an optimizer, found by its methods and the names of their arguments.

Names say most of it: `params` and `grads` are containers, `w` and `dw` are arrays. Where they leave
a choice, the first step is tried with dicts, with lists and with single arrays.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from elunet.testing._optimizers import calls
from elunet.testing._optimizers.calls import Design
from elunet.testing._optimizers.params import with_own_params, with_params

METHODS = ("step", "update", "update_params", "update_layer", "apply_gradients", "__call__")
ROLES = {
    "net": "net network model nn",
    "layer": "layer",
    "params": "params parameters weights variables thetas values",
    "grads": "grads gradients dparams dweights derivatives",
    "w": "w weight param parameter x theta p var variable value",
    "g": "g dw grad gradient dx dtheta dparam gradw gradwrtw paramgrad",
    "lr": "lr learningrate alpha eta rate stepsize",
    "config": "config optimconfig state cache",
    "name": "name key paramname id",
    "index": "index idx i k",
    "t": "t step iteration iter epoch",
}
BY_NAME = {name: role for role, names in ROLES.items() for name in names.split()}
KINDS = {"params": "dicts lists arrays", "w": "arrays dicts lists", "": "dicts lists arrays"}
HELP = (
    "expected an optimizer with step(net), step(params, grads), update(params, grads),"
    " update(w, g), update_params(layer), update_layer(layer) or apply_gradients(pairs); or a"
    " function of (w, g), (w, dw, config), (params, grads) or (parameters, grads,"
    " learning_rate); or for step() without arguments, a function that makes it, lambda params:"
    " MyOptimizer(params). Wrap an optimizer that needs more in a function of (w, g) or"
    " (params, grads)"
)


class UnknownDesignError(TypeError):
    """No design fits."""

    @classmethod
    def of(cls, optimizer: Any, tried: list[str]) -> UnknownDesignError:
        """Return the error about an optimizer, with a line for each design that was tried."""
        what = f"{optimizer!r} ({type(optimizer).__name__})"
        lines = "".join(f"\n  tried {attempt}" for attempt in tried)
        return cls(f"check_optimizer: {HELP}; got {what}{lines}")


def designs(optimizer: Any, learning_rate: float | None) -> list[Design]:
    """Return the designs that an optimizer may have, the likeliest first.

    Raises
    ------
    TypeError
        If there is none.
    ValueError
        If it takes a learning rate, and none was given.
    """
    tried: list[str] = []
    if isinstance(optimizer, type):
        tried.append(
            f"{optimizer.__name__}: a class; make an object of it, or a function that does"
        )
        raise UnknownDesignError.of(optimizer, tried)
    if calls.is_function(optimizer):
        found = list(_of_call("", optimizer, learning_rate, tried))
        if not found:
            raise UnknownDesignError.of(optimizer, tried)
        return found
    for method in METHODS:
        if callable(getattr(optimizer, method, None)):
            found = list(_of_call(method, optimizer, learning_rate, tried))
            if found:
                return found
        elif method != "__call__":
            tried.append(f"{method}: there is no such method")
    raise UnknownDesignError.of(optimizer, tried)


def _of_call(
    method: str, optimizer: Any, learning_rate: float | None, tried: list[str]
) -> Iterator[Design]:
    """Yield the designs of a method, or of a function."""
    function = getattr(optimizer, method) if method else optimizer
    name = method or getattr(function, "__name__", "function")
    try:
        roles = _roles(function, learning_rate is not None)
    except ValueError:  # no signature
        tried.append(f"{name}: what it takes cannot be read")
        return
    said = f"{name}({', '.join(roles)})"
    if method == "apply_gradients":
        yield calls.with_pairs(method, optimizer)
    elif not roles:
        own = with_own_params(optimizer) if method == "step" else None
        if own is not None:
            yield own
        else:
            tried.append(
                f"{said}: it takes no parameters, and none that has value (or data) and grad was"
                " found in it; give a function that makes it"
            )
    elif set(roles.values()) <= {"grads", "g"}:
        tried.append(f"{said}: it has its parameters already; give a function that makes it")
    elif len(roles) == 1:
        yield from _of_one(name, method, optimizer, *roles.items())
    else:
        yield from _of_several(said, method, optimizer, roles, learning_rate, tried)


def _of_one(name: str, method: str, optimizer: Any, its: tuple[str, str]) -> Iterator[Design]:
    _, role = its
    if role == "layer" or method in ("update_params", "update_layer"):
        for kinds in (("weights", "biases"), ("W", "b")):
            yield calls.with_layers(name, optimizer, kinds)
    elif method or role == "net":
        yield calls.with_net(name, optimizer)
    else:
        yield with_params(optimizer)


def _of_several(
    said: str,
    method: str,
    optimizer: Any,
    roles: dict[str, str],
    learning_rate: float | None,
    tried: list[str],
) -> Iterator[Design]:
    """Yield designs that take parameters and gradients, in dicts, in lists or one by one."""
    for place, role in (("params", "params w"), ("grads", "grads g")):
        if not set(role.split()) & set(roles.values()):
            free = [name for name, its in roles.items() if not its]
            if free:
                roles[free[0]] = place
    strange = [name for name, role in roles.items() if not role]
    if strange:
        tried.append(f"{said}: what is {', '.join(strange)}? Wrap it in a function without")
        return
    if "lr" in roles.values() and learning_rate is None:
        raise ValueError(
            f"check_optimizer: expected a learning rate for {said}, got none; pass"
            " learning_rate=..."
        )
    plural = next((role for role in roles.values() if role in KINDS), "")
    alone = set(roles.values()) & {"name", "index", "config"}
    kinds = ["arrays"] if alone else KINDS[plural].split()

    def call() -> Callable[..., Any]:
        function = getattr(copy.deepcopy(optimizer), method) if method else optimizer

        def run(**given: Any) -> Any:
            given["lr"] = learning_rate
            rate = {} if learning_rate is None else {"learning_rate": learning_rate}
            if given.get("config") is None:
                given["config"] = rate
            given |= {"w": given["params"], "g": given["grads"]}
            return function(**{name: given[role] for name, role in roles.items()})

        return run

    for kind in kinds:
        if kind == "dicts":
            yield calls.with_dicts(said, call)
        elif kind == "lists":
            yield calls.with_lists(said, call)
        elif alone:
            yield calls.with_arrays(said, call, apart=False)
        elif method:
            yield calls.with_arrays(said, call, apart=True)
        else:  # what a function remembers may be one thing, so it gets one parameter
            yield calls.with_arrays(said, call, apart=False, names=("w",))


def _roles(function: Callable[..., Any], rate: bool) -> dict[str, str]:
    """Return the role of each argument that is to be given; `rate`: there is a learning rate."""
    optional = {"config", "net", "lr"} if rate else {"config", "net"}
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        role = BY_NAME.get(name.lower().replace("_", ""), "")
        if parameter.default is parameter.empty or role in optional:
            found[name] = role
    return found
