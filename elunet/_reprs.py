"""How an object prints: as the call that made it."""

from __future__ import annotations

from inspect import signature


def as_made(value: object) -> str:
    """Return the call that would make an object, without default arguments.

    The arguments are those that it keeps as attributes of the same names, as they are now.
    """
    default = {name: p.default for name, p in signature(type(value)).parameters.items()}
    given = {name: getattr(value, name) for name in default if hasattr(value, name)}
    arguments = (
        f"{name}={now!r}"
        for name, now in given.items()
        if type(now) is not type(default[name]) or now != default[name]
    )
    return f"{type(value).__name__}({', '.join(arguments)})"
