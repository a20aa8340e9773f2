"""What a mutant is: a class with one bug, the correct class, and an example on which they differ.

There is no list of mutants. A mutant is a class with an `example` in one of the zoo's files. Its
docstring has three paragraphs: what is wrong, how that shows in training, which check catches it.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from elunet._types import Shape
from elunet.testing._inputs import spread

TRAINING, CAUGHT = "In training: ", "Caught by "


@dataclass(frozen=True)
class Example:
    """How a mutant and its correct class are made, and the further arguments of a checker.

    Attributes
    ----------
    arguments, keywords
        For the constructor, the mutant's and the correct one's.
    given : callable
        Returns new arrays for a checker: (x,) for a layer, (prediction, target) for a loss, and
        for an optimizer a dictionary with the update rule of each parameter.
    formula : callable or None
        What the correct class computes, written in simple loops: ``formula(layer, x, train)`` or
        ``formula(prediction, target)``.
    contract : mapping
        Attributes of a contract that the correct class needs, such as rows_apart_in_training.

    Examples
    --------
    >>> from elunet.teaching import mutants
    >>> example = mutants.layers(of="ELU")[1].example
    >>> example.arguments, example.given()[0].shape
    ((0.5,), (3, 4))
    """

    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    given: Callable[[], tuple[Any, ...]]
    formula: Callable[..., Any] | None = None
    contract: Mapping[str, Any] = field(default_factory=dict)

    def make(self, kind: type) -> Any:
        """Make an object of a class."""
        return kind(*self.arguments, **self.keywords)

    def call(self, kind: type) -> str:
        """Return the text of the call that makes it."""
        arguments = [getattr(value, "__name__", repr(value)) for value in self.arguments]
        arguments += [f"{name}={value!r}" for name, value in self.keywords.items()]
        return f"{kind.__name__}({', '.join(arguments)})"


def layer_example(
    *arguments: Any,
    x: Shape,
    formula: Callable[..., Any] | None = None,
    inputs: int = 1,
    kinks: tuple[float, ...] = (0.0,),
    contract: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> Example:
    """Return an example for a layer, with an x that has no ties and keeps away from kinks.

    Parameters
    ----------
    *arguments, **keywords
        For the layer's constructor.
    x : tuple of int
        The shape of x.
    formula : callable, optional
        See `Example`.
    inputs : int
        How many arrays of this shape; x is a tuple of them if there is more than one.
    kinks : tuple of float
        See `spread`.
    contract : mapping, optional
        See `Example`.

    Returns
    -------
    Example

    Examples
    --------
    >>> from elunet.teaching import mutants
    >>> (x,) = mutants.layer_example(x=(2, 3)).given()
    >>> x.shape, x.dtype
    ((2, 3), dtype('float64'))
    """

    def given() -> tuple[Any, ...]:
        rng = np.random.default_rng(0)
        arrays = tuple(spread(x, rng, kinks) for _ in range(inputs))
        return (arrays if inputs > 1 else arrays[0],)

    return Example(arguments, keywords, given, formula, contract or {})


@dataclass(frozen=True)
class Mutant:
    """One wrong layer, loss or optimizer.

    Attributes
    ----------
    name : str
        The class's name.
    kind : str
        "layer", "loss" or "optimizer".
    of : str
        Name of the correct class, as in elunet.
    why : str
        What is wrong.
    in_training : str
        How it shows when a network is trained with it.
    caught_by : str
        The simplest check that catches it: "check_layer", "LayerContract.test_ties".
    hint : str
        How that check catches it.
    source : type
        The class; `inspect.getsource` shows it.
    correct_class : type
        The class that it is derived from.
    example : Example

    Examples
    --------
    >>> from elunet.teaching import mutants
    >>> print(mutants.layers(of="Add")[0])
    SharedGradient, a layer (Add)
      wrong: The gradient is divided among the inputs instead of handed to each in full.
      in training: Every skip connection halves the gradient. The deeper the network, the less
        arrives at its first layers, which is what skips should prevent.
      caught by check_layer: analytic = 1/2 x numeric.
    """

    name: str
    kind: str
    of: str
    why: str
    in_training: str
    caught_by: str
    hint: str
    source: type = field(repr=False)
    correct_class: type = field(repr=False)
    example: Example = field(repr=False)

    @property
    def is_findable(self) -> bool:
        """Whether a gradient check can find it, or for an optimizer its update rule."""
        return self.caught_by in ("check_layer", "check_loss", "check_optimizer")

    def make(self) -> Any:
        """Return a new mutant."""
        return self.example.make(self.source)

    def correct(self) -> Any:
        """Return a new correct layer, loss or optimizer, made with the same arguments."""
        return self.example.make(self.correct_class)

    def given(self) -> tuple[Any, ...]:
        """Return new further arguments of a checker.

        ``(x,)`` for a layer, ``(prediction, target)`` for a loss, ``(updates,)`` for an optimizer.
        `updates` is a dictionary with each parameter's update rule, as for `check_optimizer`.
        """
        return self.example.given()

    def __str__(self) -> str:
        parts = [
            f"wrong: {self.why}",
            f"in training: {self.in_training}",
            f"caught by {self.caught_by}: {self.hint}",
        ]
        lines = [
            textwrap.fill(part, 92, initial_indent="  ", subsequent_indent="    ") for part in parts
        ]
        return "\n".join([f"{self.name}, a {self.kind} ({self.of})", *lines])


def mutants_in(module: ModuleType, kind: str) -> Iterator[Mutant]:
    """Yield the mutants that a module defines, in the order of its lines."""
    for source in vars(module).values():
        if isinstance(source, type) and "example" in vars(source):
            yield mutant_of(source, kind)


def mutant_of(source: type, kind: str = "layer") -> Mutant:
    """Return the mutant that a class, yours or one of the zoo, describes.

    Parameters
    ----------
    source : type
        Derived from the correct class, with an attribute `example`. Its docstring has three
        paragraphs: what is wrong, "In training: ...", and "Caught by (name of a check): ...".
    kind : str
        "layer", "loss" or "optimizer".

    Returns
    -------
    Mutant

    Raises
    ------
    TypeError
        If there is no `example`, or no class that it is derived from.

    Examples
    --------
    >>> from elunet.layers import ReLU
    >>> from elunet.teaching import grade, mutants
    >>> from elunet.testing import check_layer
    >>> class Halved(ReLU):
    ...     example = mutants.layer_example(x=(3, 4))
    ...     def backward_input(self, dy):
    ...         return super().backward_input(dy) / 2
    >>> grade(check_layer, zoo=[mutants.mutant_of(Halved)]).caught
    ['Halved']
    """
    correct = source.__mro__[1]
    if "example" not in vars(source) or correct is object:
        raise TypeError(
            "mutant_of: expected a class with an attribute example, derived from the correct one, "
            f"got {source.__name__}"
        )
    text = [" ".join(part.split()) for part in (inspect.getdoc(source) or "").split("\n\n")]
    why, training, caught = (*text, "", "", "")[:3]
    caught_by, _, hint = caught.removeprefix(CAUGHT).partition(": ")
    return Mutant(
        source.__name__,
        kind,
        correct.__name__,
        why,
        training.removeprefix(TRAINING),
        caught_by,
        hint,
        source,
        correct,
        vars(source)["example"],
    )
