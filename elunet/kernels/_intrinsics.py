"""What kernels need from the compiler itself: their small functions as its instructions.

`elunet.kernels.lanes` and other files have functions that the compiler could not make fast from
their source: a vector's, the exponential's, a look at another thread's memory. As they stand there
they run when the JIT is off; compiled code gets what is here. It becomes part of each kernel, so
numba's cache (`__pycache__`) has to go when this file is changed.

This is the only file that knows LLVM. It is imported where numba compiles the kernels.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models, register_default
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import (
    NativeValue,
    intrinsic,
    lower_builtin,
    overload,
    typeof_impl,
    unbox,
)
from numpy.polynomial import chebyshev, polynomial

from elunet.kernels import columns, lanes, limits, waiting
from elunet.kernels.activations import split_exp
from elunet.kernels.lanes import LANES
from elunet.kernels.winograd import Matrix, gather, scatter, sides

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


def _polynomial(terms: int) -> list[float]:
    """Return the factors of r, r^2, ... in a polynomial for e^r - 1, |r| <= ln 2 / 2.

    It is ``r + r^2 / 2 + r^3 q(r)``, with the q that is exact in the Chebyshev points. Taylor's
    polynomial, which is exact in 0 only, needs one more term in float32, and two in float64.
    """
    end = math.log(2.0) / 2
    exact: Any = polynomial.Polynomial([end**k / math.factorial(k + 3) for k in range(30)])
    q = chebyshev.chebinterpolate(exact, terms - 3)
    return [1.0, 0.5, *(chebyshev.cheb2poly(q) / end ** np.arange(terms - 2))]


@intrinsic  # type: ignore[untyped-decorator]
def _reinterpret(typingctx: Any, value: Any) -> Any:
    """Read the bits of a floating-point number as an integer of its width, or the reverse."""
    other, llvm_type = {
        types.float32: (types.int32, ir.IntType(32)),
        types.float64: (types.int64, ir.IntType(64)),
        types.int32: (types.float32, ir.FloatType()),
        types.int64: (types.float64, ir.DoubleType()),
    }[value]

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], llvm_type)

    return other(value), code


@overload(split_exp)  # type: ignore[untyped-decorator]
def _vectorized_split_exp(x: Any) -> Any:
    dtype, integer, terms = (
        (np.float32, np.int32, 6) if x == types.float32 else (np.float64, np.int64, 11)
    )
    kind = np.finfo(dtype)
    mantissa, one = kind.nmant, integer((1 - kind.minexp) << kind.nmant)  # the bits of 1.0
    lowest = dtype((kind.minexp + 1) * math.log(2.0))  # below it, 2^n is no normal number
    log2e, ln2 = dtype(1 / math.log(2.0)), dtype(math.log(2.0))
    rounder = dtype(1.5 * 2.0**mantissa)  # a sum with it keeps round(x) in its lowest bits
    factors = tuple(dtype(factor) for factor in _polynomial(terms)[::-1])

    def split(x: Any) -> tuple[Any, Any]:
        clipped = lowest if x < lowest else x
        rounded = clipped * log2e + rounder
        n = rounded - rounder
        r = clipped - n * ln2
        power = _reinterpret(integer((_reinterpret(rounded) << mantissa) + one))
        tail = factors[0]
        for k in range(1, terms):
            tail = tail * r + factors[k]
        return power, tail * r

    return split


@compiled(
    columns.move,
    (types.Array, types.Integer, types.Array, types.Integer),
    lambda *arguments: types.none,
)
def _move(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Copy one vector: the compiler would take a line's last numbers one by one."""
    source, i, target, j = arguments
    dtype = signature.args[0].dtype
    vector = ir.VectorType(context.get_value_type(dtype), columns.LANES).as_pointer()
    start = address(context, builder, signature.args[0], source, i)
    goal = address(context, builder, signature.args[2], target, j)
    numbers = builder.load(builder.bitcast(start, vector), align=_bytes(start))
    builder.store(numbers, builder.bitcast(goal, vector), align=_bytes(start))
    return context.get_dummy_value()


@compiled(waiting.load, (types.Array,), lambda counter: types.int64)
def _load_counter(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    place = context.make_array(signature.args[0])(context, builder, arguments[0]).data
    return builder.load_atomic(place, "acquire", 8)


@compiled(waiting.store, (types.Array, types.Integer), lambda *arguments: types.none)
def _store_counter(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    place = context.make_array(signature.args[0])(context, builder, arguments[0]).data
    builder.store_atomic(arguments[1], place, "release", 8)
    return context.get_dummy_value()


@compiled(limits.ask, (types.Integer,), lambda function: types.int64)
def _ask(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    kind = ir.FunctionType(ir.IntType(32), [])
    answer = builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [])
    return builder.sext(answer, ir.IntType(64))


@compiled(limits.tell, (types.Integer, types.Integer), lambda *arguments: types.none)
def _tell(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    kind = ir.FunctionType(ir.VoidType(), [ir.IntType(32)])
    number = builder.trunc(arguments[1], ir.IntType(32))
    builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [number])
    return context.get_dummy_value()


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


@compiled(lanes.load, (types.Array, types.Integer, types.Integer), lambda a, *rest: Vector(a.dtype))
def _load(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array, place, count = arguments
    start = address(context, builder, signature.args[0], array, place)
    return whole_or_part(builder, count, lambda count: read(builder, start, count))


@compiled(
    lanes.store, (types.Array, types.Integer, Vector, types.Integer), lambda *rest: types.none
)
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


@compiled(lanes.fill, (types.Number,), Vector)
def _fill(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return equal(builder, *arguments)


@compiled(lanes.below, (types.Integer,), lambda count: Vector(types.boolean))
def _below(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return first_ones(builder, *arguments)


@compiled(lanes.where, (Vector, Vector, Vector), lambda condition, a, b: a)
def _where(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.select(*arguments)


@compiled(lanes.multiply_add, (Vector, Vector, Vector), lambda a, b, c: a)
def _multiply_add(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    a, b, c = arguments
    flags = ("contract",)
    return builder.fadd(builder.fmul(a, b, flags=flags), c, flags=flags)


def _double() -> Any:
    return ir.VectorType(ir.DoubleType(), LANES)


@compiled(lanes.widened, (Vector,), lambda a: Vector(types.float64))
def _widened(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    (a,) = arguments
    return a if a.type == _double() else builder.fpext(a, _double())


@compiled(lanes.rounded, (Vector, types.Array), lambda a, array: Vector(array.dtype))
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


class MatrixType(types.Type):  # type: ignore[misc]
    """Numba's type of one matrix: its numbers are part of it."""

    def __init__(self, rows: tuple[tuple[float, ...], ...]) -> None:
        self.rows = rows
        super().__init__(name=f"Matrix({rows})")


register_default(MatrixType)(models.OpaqueModel)


@typeof_impl.register(Matrix)  # type: ignore[untyped-decorator]
def _typeof(value: Matrix, context: Any) -> MatrixType:
    return _matrix_type(value.key)


@cache
def _matrix_type(rows: tuple[tuple[float, ...], ...]) -> MatrixType:
    return MatrixType(rows)


@unbox(MatrixType)  # type: ignore[untyped-decorator]
def _unbox(kind: Any, value: Any, c: Any) -> Any:
    return NativeValue(c.context.get_dummy_value())


@compiled(sides, (MatrixType,), lambda matrix: types.UniTuple(types.intp, 2))
def _sides(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    rows = signature.args[0].rows
    return context.get_constant_generic(builder, signature.return_type, (len(rows), len(rows[0])))


_LINE = (types.Array, types.Integer, types.Integer)


_RANGE = (types.Integer, types.Integer)


@compiled(
    gather, (MatrixType, *_LINE, *_RANGE, *_LINE, types.Integer), lambda *arguments: types.none
)
def _gather(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    matrix, source, _, _, _, _, target, *_ = signature.args
    _, x, place, step, start, stop, y, goal, stride, count = arguments
    rows = _Line(builder, address(context, builder, source, x, place), step, start, stop)
    results = _Line(builder, address(context, builder, target, y, goal), stride)

    def work(count: Any) -> None:
        vectors = [read(builder, rows.place(u), count) for u in range(len(matrix.rows[0]))]
        for p, vector in enumerate(_multiply(builder, matrix.rows, vectors)):
            write(builder, vector, results.place(p), count)

    whole_or_part(builder, count, work)
    return context.get_dummy_value()


@compiled(
    scatter,
    (MatrixType, *_LINE, *_LINE, *_RANGE, types.Integer, types.Integer),
    lambda *arguments: types.none,
)
def _scatter(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    matrix, source, _, _, target, *_ = signature.args
    _, x, place, step, y, goal, stride, start, stop, skip, count = arguments
    rows = _Line(builder, address(context, builder, source, x, place), step)
    results = _Line(builder, address(context, builder, target, y, goal), stride, start, stop)
    skipped = first_ones(builder, skip)

    def work(count: Any) -> None:
        vectors = [read(builder, rows.place(u), count) for u in range(len(matrix.rows[0]))]
        for p, vector in enumerate(_multiply(builder, matrix.rows, vectors)):
            added = builder.select(skipped, ir.Constant(vector.type, None), vector)
            before = read(builder, results.place(p), count)
            write(builder, builder.fadd(before, added), results.place(p), count)

    whole_or_part(builder, count, work)
    return context.get_dummy_value()


class _Line:
    """Vectors at even distances, those from start to stop; others are a vector put aside."""

    def __init__(
        self, builder: Any, first: Any, step: Any, start: Any = None, stop: Any = None
    ) -> None:
        self.builder, self.first, self.step = builder, first, step
        self.start, self.stop = start, stop
        if start is not None:
            kind = ir.VectorType(first.type.pointee, LANES)
            aside = cgutils.alloca_once(builder, kind, zfill=True)
            self.aside = builder.bitcast(aside, first.type)

    def place(self, number: int) -> Any:
        """Return the address of a vector."""
        builder, index = self.builder, ir.Constant(self.step.type, number)
        place = builder.gep(self.first, [builder.mul(self.step, index)])
        if self.start is None:
            return place
        within = builder.and_(
            builder.icmp_signed("<=", self.start, index), builder.icmp_signed("<", index, self.stop)
        )
        return builder.select(within, place, self.aside)


Rows = Sequence[Sequence[float]]


def _multiply(builder: Any, rows: Rows, vectors: list[Any]) -> list[Any]:
    """Return a matrix times a vector of vectors."""
    columns = list(zip(*rows, strict=True))
    for i, j in _opposites(columns):  # so even rows take their sum, odd ones their difference
        a, b = vectors[i], vectors[j]
        vectors[i], vectors[j] = builder.fadd(a, b), builder.fsub(a, b)
        columns[i] = tuple(0.0 if k % 2 else factor for k, factor in enumerate(columns[i]))
        columns[j] = tuple(-factor if k % 2 else 0.0 for k, factor in enumerate(columns[j]))
    rows = list(zip(*columns, strict=True))
    opposites = dict(_opposites(rows))
    results: dict[int, Any] = {}
    for i, row in enumerate(rows):
        if i in opposites:
            even = _combine(builder, row[::2], vectors[::2])
            odd = _combine(builder, row[1::2], vectors[1::2])
            results[i], results[opposites[i]] = builder.fadd(even, odd), builder.fsub(even, odd)
        elif i not in results:
            results[i] = _combine(builder, row, vectors)
    return [results[i] for i in range(len(rows))]


def _opposites(rows: Rows) -> list[tuple[int, int]]:
    """Return the pairs of rows that differ in the sign of every other number only."""
    pairs = combinations(range(len(rows)), 2)
    return [(i, j) for i, j in pairs if _opposite(rows[i], rows[j])]


def _opposite(a: Sequence[float], b: Sequence[float]) -> bool:
    if not (any(a[::2]) and any(a[1::2])):
        return False
    return all(y == (-x if k % 2 else x) for k, (x, y) in enumerate(zip(a, b, strict=True)))


def _combine(builder: Any, factors: Sequence[float], vectors: Sequence[Any]) -> Any:
    """Return the sum of factors times vectors."""
    total = None
    pairs = [(f, v) for f, v in zip(factors, vectors, strict=True) if f]
    for factor, vector in sorted(pairs, key=lambda pair: pair[0] != 1.0):  # so 1 needs no product
        if factor != 1.0:
            vector = builder.fmul(ir.Constant(vector.type, [factor] * LANES), vector)
        total = vector if total is None else builder.fadd(total, vector)
    return total
