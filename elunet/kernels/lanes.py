"""Vectors: some neighboring numbers that are loaded, compared, added and stored at once.

The compiler makes vectors of a loop over neighboring numbers by itself. But before each such loop
it asks whether the arrays overlap, and it takes the last few numbers one by one: for a loop over 6
or 16 channels that is most of the work. With these functions a kernel says what is one vector.

A vector is LANES numbers of a C-contiguous array of one dimension, wherever they begin. It may
reach beyond the channels that are meant: what is loaded there is of no use, and what is stored
there has to be written again later. It may not reach beyond the array's end, which nobody checks:
there a kernel says how many numbers of the vector are to be moved, which takes longer.

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


def load(array: Array, place: Any, count: Any) -> Any:
    """Return the vector from a place on, or its first numbers and then zeros.

    Parameters
    ----------
    array : C-contiguous array of shape (n,)
    place : int
    count : int
        How many numbers to read; LANES or more for all.
    """
    vector = np.zeros(LANES, array.dtype)
    count = min(count, LANES)
    vector[:count] = array[place : place + count]
    return vector


def store(array: Array, place: Any, vector: Any, count: Any) -> None:
    """Write a vector, or its first numbers, from a place on.

    Parameters
    ----------
    array : C-contiguous array of shape (n,)
    place : int
    vector : vector of the array's dtype
    count : int
        How many numbers to write; LANES or more for all.
    """
    count = min(count, LANES)
    array[place : place + count] = vector[:count]


def fill(number: Any) -> Any:
    """Return a vector of equal numbers."""
    return np.full(LANES, number)


def below(count: Any) -> Any:
    """Return a vector of truths: true for the first so many numbers."""
    return np.arange(LANES) < count


def where(condition: Any, a: Any, b: Any) -> Any:
    """Return a vector with a's numbers where the condition holds, and b's elsewhere."""
    return np.where(condition, a, b)


def multiply_add(a: Any, b: Any, c: Any) -> Any:
    """Return the vector ``a * b + c``, rounded once where the processor can."""
    return a * b + c


def widened(vector: Any) -> Any:
    """Return the vector in float64."""
    return vector.astype(np.float64)


def rounded(vector: Any, array: Array) -> Any:
    """Return a vector of float64 in an array's dtype."""
    return vector.astype(array.dtype)


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


def compiled(
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


def address(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> Any:
    """Return the address of a number of an array."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [place])


def read(builder: Any, start: Any, count: Any = None) -> Any:
    """Return the vector at an address, or its first numbers and then zeros."""
    kind = ir.VectorType(start.type.pointee, LANES)
    if count is None:
        return builder.load(builder.bitcast(start, kind.as_pointer()), align=_bytes(start))
    buffer = cgutils.alloca_once(builder, kind)
    builder.store(ir.Constant(kind, None), buffer)
    cgutils.raw_memcpy(builder, builder.bitcast(buffer, start.type), start, count, _bytes(start))
    return builder.load(buffer)


def write(builder: Any, vector: Any, start: Any, count: Any = None) -> None:
    """Store a vector at an address, or its first numbers."""
    if count is None:
        target = builder.bitcast(start, vector.type.as_pointer())
        builder.store(vector, target, align=_bytes(start))
    else:
        buffer = cgutils.alloca_once(builder, vector.type)
        builder.store(vector, buffer)
        few = builder.bitcast(buffer, start.type)
        cgutils.raw_memcpy(builder, start, few, count, _bytes(start))


def _bytes(start: Any) -> int:
    number = start.type.pointee
    return {ir.FloatType(): 4, ir.DoubleType(): 8}.get(number) or number.width // 8


def whole_or_part(builder: Any, count: Any, work: Callable[[Any], Any]) -> Any:
    """Do work(None), for whole vectors, or work(count), and return its result if there is one."""
    whole = builder.icmp_signed(">=", count, ir.Constant(count.type, LANES))
    results = []
    with builder.if_else(whole, likely=True) as blocks:
        for block, argument in zip(blocks, (None, count), strict=True):
            with block:
                results.append((work(argument), builder.block))
    if results[0][0] is None:
        return None
    result = builder.phi(results[0][0].type)
    for value, block in results:
        result.add_incoming(value, block)
    return result


@compiled(load, (types.Array, types.Integer, types.Integer), lambda a, *rest: Vector(a.dtype))
def _load(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array, place, count = arguments
    start = address(context, builder, signature.args[0], array, place)
    return whole_or_part(builder, count, lambda count: read(builder, start, count))


@compiled(store, (types.Array, types.Integer, Vector, types.Integer), lambda *rest: types.none)
def _store(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array, place, vector, count = arguments
    start = address(context, builder, signature.args[0], array, place)
    whole_or_part(builder, count, lambda count: write(builder, vector, start, count))
    return context.get_dummy_value()


def equal(builder: Any, number: Any) -> Any:
    """Return a vector of equal numbers."""
    undefined = ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined)
    firsts = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    vector = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(vector, undefined, firsts)


def first_ones(builder: Any, count: Any) -> Any:
    """Return a vector of truths, true for the first so many numbers."""
    counts = equal(builder, count)
    return builder.icmp_signed("<", ir.Constant(counts.type, list(range(LANES))), counts)


@compiled(fill, (types.Number,), Vector)
def _fill(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return equal(builder, *arguments)


@compiled(below, (types.Integer,), lambda count: Vector(types.boolean))
def _below(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return first_ones(builder, *arguments)


@compiled(where, (Vector, Vector, Vector), lambda condition, a, b: a)
def _where(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.select(*arguments)


@compiled(multiply_add, (Vector, Vector, Vector), lambda a, b, c: a)
def _multiply_add(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    a, b, c = arguments
    flags = ("contract",)
    return builder.fadd(builder.fmul(a, b, flags=flags), c, flags=flags)


def _double() -> Any:
    return ir.VectorType(ir.DoubleType(), LANES)


@compiled(widened, (Vector,), lambda a: Vector(types.float64))
def _widened(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    (a,) = arguments
    return a if a.type == _double() else builder.fpext(a, _double())


@compiled(rounded, (Vector, types.Array), lambda a, array: Vector(array.dtype))
def _rounded(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    a, _ = arguments
    if signature.return_type.dtype == types.float64:
        return a
    return builder.fptrunc(a, ir.VectorType(ir.FloatType(), LANES))


def _operator(function: Any, code: Callable[..., Any], compares: bool = False) -> None:
    """Give compiled code an operator for two vectors."""

    def result(a: Vector, b: Vector) -> Vector:
        return Vector(types.boolean) if compares else a

    @compiled(function, (Vector, Vector), result)
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
