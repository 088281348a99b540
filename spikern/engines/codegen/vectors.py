"""Vectors of float32: part of a row of an array, in the registers of the processor.

In Python a vector is an array of numpy. Compiled it is a vector of LLVM, so that the sum of many
rows stays in registers, where a loop over an array reads and writes memory for every row. Sums
with + and * round as numpy's; `multiply_add` and `total` may be reordered.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, overload, register_model

Array = Any
"""An array of numpy, which in a compiled kernel is one of numba."""
REORDERED = ("reassoc", "contract", "nsz")
"""Freedoms of the compiler in sums on which no spike depends."""


def load(a: Array, row: int, column: int, size: int) -> Any:
    """The vector of `size` numbers of a row, from a column on."""
    return a[row, column : column + size].copy()


def store(a: Array, row: int, column: int, y: Any) -> None:
    """Write a vector into a row, from a column on."""
    a[row, column : column + len(y)] = y


def multiply_add(y: Any, a: Any, b: Any) -> Any:
    """y + a b for vectors, rounded once or twice; a may be one number."""
    return y + a * b


def total(y: Any) -> Any:
    """The sum of the numbers of a vector, in any order."""
    return y.sum()


class Vector(types.Type):  # type: ignore[misc]
    """The type of a vector of this many float32."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(name=f"vector({size})")


@register_model(Vector)
class _Model(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, ir.VectorType(ir.FloatType(), kind.size))


def _compile_as(function: Callable[..., Any], compiled: Callable[..., Any]) -> None:
    """Let numba compile another function in the place of one."""
    overload(function, strict=False, prefer_literal=True)(lambda *args: compiled)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, at: Any, size: int) -> Any:
    """The address of a vector in a matrix."""
    view = context.make_array(kind)(context, builder, array)
    width = cgutils.unpack_tuple(builder, view.shape, 2)[1]
    place = builder.add(builder.mul(at[0], width), at[1])
    lanes = ir.VectorType(ir.FloatType(), size)
    return builder.bitcast(builder.gep(view.data, [place]), lanes.as_pointer())


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def _load(typingctx: Any, a: Any, row: Any, column: Any, size: Any) -> Any:
    if not isinstance(size, types.IntegerLiteral):
        return None
    kind = Vector(size.literal_value)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        at = _pointer(context, builder, sig.args[0], args[0], args[1:3], kind.size)
        return builder.load(at, align=4)

    return kind(a, types.int64, types.int64, size), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _store(typingctx: Any, a: Any, row: Any, column: Any, y: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        at = _pointer(context, builder, sig.args[0], args[0], args[1:3], y.size)
        builder.store(args[3], at, align=4)
        return context.get_dummy_value()

    return types.void(a, types.int64, types.int64, y), codegen


def _splat(builder: Any, kind: Any, value: Any, size: int) -> Any:
    """A vector as it is; one number as a vector."""
    if isinstance(kind, Vector):
        return value
    lanes = ir.VectorType(ir.FloatType(), size)
    zero = ir.Constant(ir.IntType(32), 0)
    one = builder.insert_element(ir.Constant(lanes, ir.Undefined), value, zero)
    places = ir.Constant(ir.VectorType(ir.IntType(32), size), [0] * size)
    return builder.shuffle_vector(one, ir.Constant(lanes, ir.Undefined), places)


@intrinsic  # type: ignore[untyped-decorator]
def _multiply_add(typingctx: Any, y: Any, a: Any, b: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        factor = _splat(builder, sig.args[1], args[1], y.size)
        product = builder.fmul(factor, args[2], flags=REORDERED)
        return builder.fadd(args[0], product, flags=REORDERED)

    return y(y, a if isinstance(a, Vector) else types.float32, b), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _total(typingctx: Any, y: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        number = ir.FloatType()
        kind = ir.FunctionType(number, [number, args[0].type])
        name = f"llvm.vector.reduce.fadd.v{y.size}f32"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, [ir.Constant(number, -0.0), args[0]], fastmath=REORDERED)

    return types.float32(y), codegen


_compile_as(load, lambda a, row, column, size: _load(a, row, column, size))
_compile_as(store, lambda a, row, column, y: _store(a, row, column, y))
_compile_as(multiply_add, lambda y, a, b: _multiply_add(y, a, b))
_compile_as(total, lambda y: _total(y))


class _Operator(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        a, b = args
        if isinstance(b, Vector) and (a == b or a == types.float32):
            return signature(b, a, b)
        return None


for _operator, _instruction in ((operator.add, "fadd"), (operator.mul, "fmul")):
    infer_global(_operator)(type(f"_{_instruction}", (_Operator,), {}))

    def _lower(context: Any, builder: Any, sig: Any, args: Any, name: str = _instruction) -> Any:
        a = _splat(builder, sig.args[0], args[0], sig.args[1].size)
        return getattr(builder, name)(a, args[1])

    lower_builtin(_operator, Vector, Vector)(_lower)
    lower_builtin(_operator, types.Float, Vector)(_lower)
