"""Vectors: some neighboring numbers that are loaded, compared, added and stored at once.

The compiler makes vectors of a loop over neighboring numbers by itself. But before each such loop
it asks whether the arrays overlap, and it takes the last few numbers one by one: for a loop over 6
or 16 channels that is most of the work. With these functions a kernel says what is one vector.

A vector is LANES numbers of a C-contiguous array of one dimension, wherever they begin. It may
reach beyond the channels that are meant: what is loaded there is of no use, and what is stored
there has to be written again later. It may reach beyond the array's end as well, unless the kernel
says that it lies inside, which spares looking.

As they stand here, the functions run when the JIT is off. Compiled code gets what is below them. It
becomes part of each kernel, so numba's cache (`__pycache__`) has to go when this file is changed.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models, register_default
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin

from elunet._types import Array

LANES = 16  # of float32 today's widest vector; a processor with narrower ones takes it in parts


def load(array: Array, place: Any, inside: bool) -> Any:
    """Return the vector from a place on; beyond the array's end it is 0.

    Parameters
    ----------
    array : C-contiguous array of shape (n,)
    place : int
    inside : bool
        Whether the vector is known to lie inside the array.
    """
    vector = np.zeros(LANES, array.dtype)
    few = array[int(place) : int(place) + LANES]
    vector[: few.size] = few
    return vector


def store(array: Array, place: Any, vector: Any, inside: bool) -> None:
    """Write a vector from a place on, as far as the array reaches.

    Parameters
    ----------
    array : C-contiguous array of shape (n,)
    place : int
    vector : vector of the array's dtype
    inside : bool
        Whether the vector is known to lie inside the array.
    """
    few = array[int(place) : int(place) + LANES]
    few[...] = vector[: few.size]


def fill(number: Any) -> Any:
    """Return a vector of equal numbers."""
    return np.full(LANES, number)


def below(count: Any) -> Any:
    """Return a vector of truths: true for the first so many numbers."""
    return np.arange(LANES) < count


def where(condition: Any, a: Any, b: Any) -> Any:
    """Return a vector with a's numbers where the condition holds, and b's elsewhere."""
    return np.where(condition, a, b)


class Vector(types.Type):  # type: ignore[misc]
    """Numba's type of vectors."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype})")


@register_default(Vector)
class _Model(models.PrimitiveModel):  # type: ignore[misc]
    """A vector is LLVM's own."""

    def __init__(self, manager: Any, kind: Vector) -> None:
        truth = kind.dtype == types.boolean
        number = ir.IntType(1) if truth else manager[kind.dtype].get_value_type()
        super().__init__(manager, kind, ir.VectorType(number, LANES))


Code = Callable[[Any, Any, Any, Any], Any]
"""``code(context, builder, signature, arguments)`` emits instructions and returns their result."""


def _compiled(
    function: Any, kinds: tuple[Any, ...], result: Callable[..., Any]
) -> Callable[[Code], Code]:
    """Give compiled code what a call of `function` with arguments of these kinds becomes."""

    class Template(AbstractTemplate):  # type: ignore[misc]
        key = function

        def generic(self, arguments: tuple[Any, ...], named: Any) -> Any:
            if len(arguments) == len(kinds) and all(map(isinstance, arguments, kinds)):
                return signature(result(*arguments), *arguments)
            return None

    def register(code: Code) -> Code:
        infer_global(function)(Template)
        lower_builtin(function, *kinds)(code)
        return code

    return register


class _Span:
    """A vector's place in an array, and how much of the array is left from there on."""

    def __init__(self, context: Any, builder: Any, kind: Any, array: Any, place: Any) -> None:
        self.builder = builder
        its = context.make_array(kind)(context, builder, array)
        self.number = context.get_value_type(kind.dtype)
        self.start, self.align = builder.gep(its.data, [place]), kind.dtype.bitwidth // 8
        self.left = builder.sub(its.nitems, place)

    def vector(self) -> Any:
        """Return the place as a pointer to a vector."""
        return self.builder.bitcast(self.start, ir.VectorType(self.number, LANES).as_pointer())

    def copy(self, buffer: Any, back: bool) -> None:
        """Copy what is inside to a buffer, or back."""
        builder, count = self.builder, self.left
        for beyond, limit in (("<", 0), (">", LANES)):
            bound = ir.Constant(count.type, limit)
            count = builder.select(builder.icmp_signed(beyond, count, bound), bound, count)
        few = builder.bitcast(buffer, self.number.as_pointer())
        target, source = (self.start, few) if back else (few, self.start)
        cgutils.raw_memcpy(builder, target, source, count, self.align)


@_compiled(load, (types.Array, types.Integer, types.Boolean), lambda a, *rest: Vector(a.dtype))
def _load(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array, place, inside = arguments
    span = _Span(context, builder, signature.args[0], array, place)
    buffer = cgutils.alloca_once(builder, ir.VectorType(span.number, LANES))
    with builder.if_else(inside, likely=True) as (whole, part):
        with whole:
            fast, of_whole = builder.load(span.vector(), align=span.align), builder.block
        with part:
            builder.store(ir.Constant(buffer.type.pointee, None), buffer)
            span.copy(buffer, back=False)
            slow, of_part = builder.load(buffer), builder.block
    vector = builder.phi(fast.type)
    vector.add_incoming(fast, of_whole)
    vector.add_incoming(slow, of_part)
    return vector


@_compiled(store, (types.Array, types.Integer, Vector, types.Boolean), lambda *rest: types.none)
def _store(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array, place, vector, inside = arguments
    span = _Span(context, builder, signature.args[0], array, place)
    buffer = cgutils.alloca_once(builder, vector.type)
    with builder.if_else(inside, likely=True) as (whole, part):
        with whole:
            builder.store(vector, span.vector(), align=span.align)
        with part:
            builder.store(vector, buffer)
            span.copy(buffer, back=True)
    return context.get_dummy_value()


@_compiled(fill, (types.Number,), Vector)
def _fill(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    number = arguments[0]
    undefined = ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined)
    firsts = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    vector = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(vector, undefined, firsts)


@_compiled(below, (types.Integer,), lambda count: Vector(types.boolean))
def _below(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    counts = _fill(context, builder, signature, arguments)
    return builder.icmp_signed("<", ir.Constant(counts.type, list(range(LANES))), counts)


@_compiled(where, (Vector, Vector, Vector), lambda condition, a, b: a)
def _where(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.select(*arguments)


def _operator(function: Any, code: Callable[..., Any], compares: bool = False) -> None:
    """Give compiled code an operator for two vectors."""

    def result(a: Vector, b: Vector) -> Vector:
        return Vector(types.boolean) if compares else a

    @_compiled(function, (Vector, Vector), result)
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return code(builder, *arguments)


def _equal(builder: Any, a: Any, b: Any) -> Any:
    whole = isinstance(a.type.element, ir.IntType)
    return builder.icmp_unsigned("==", a, b) if whole else builder.fcmp_ordered("==", a, b)


_operator(operator.add, ir.IRBuilder.fadd)
_operator(operator.mul, ir.IRBuilder.fmul)
_operator(operator.or_, ir.IRBuilder.or_)
_operator(operator.eq, _equal, compares=True)
_operator(operator.gt, lambda builder, a, b: builder.fcmp_ordered(">", a, b), compares=True)
_operator(operator.ne, lambda builder, a, b: builder.fcmp_unordered("!=", a, b), compares=True)
