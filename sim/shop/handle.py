"""A handle: all arrays of a world and of its lives, handed to compiled code as one integer.

Numba unwraps every array of a tuple at a call from Python, and hands every field of every array on at a call between compiled
functions: with some thirty arrays that costs more than the equations of one customer.  A `Handle` lists where the arrays lie
and how long they are, and compiled code takes the address of that list and reads from it what it needs.
"""

from __future__ import annotations

import itertools
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from sim.shop.types import Lives, World

_WORD = 8  # bytes: an address, or one number of a shape


def _arrays_of(record: Any) -> dict[str, tuple[np.dtype, int]]:
    """Type and number of dimensions of every array of `World` or `Lives`, as annotated there."""
    hints = get_type_hints(record, include_extras=True)
    assert all(get_origin(hint) is Annotated for hint in hints.values())
    return {name: (np.dtype(get_args(hint)[1]), get_args(hint)[2]) for name, hint in hints.items()}


_ARRAYS = {World: _arrays_of(World), Lives: _arrays_of(Lives)}
_SIZES = [1 + dimensions for arrays in _ARRAYS.values() for _, dimensions in arrays.values()]
_STARTS = dict(
    zip(
        [(record, name) for record, arrays in _ARRAYS.items() for name in arrays],
        [0, *itertools.accumulate(_SIZES)],
        strict=False,
    )
)  # word at which an array's address stands, its shape behind it


class Handle:
    """Of `world` and `lives`, whose arrays it keeps alive; `address` is what compiled code takes.

    Raises
    ------
    TypeError
        An array is not as `World` and `Lives` declare it, has gaps, or may not be written to; compiled code would not notice.
    """

    def __init__(self, world: World, lives: Lives):
        self._words = np.empty(sum(_SIZES), np.int64)
        self._held: dict[str, np.ndarray] = {}
        self.address = self._words.ctypes.data
        for record in (world, lives):
            self._list(type(record), record._asdict())

    def replace(self, **arrays: np.ndarray) -> None:
        """Other arrays of `Lives` from now on, of the same shape; raises `TypeError` as above."""
        for name, array in arrays.items():
            if array.shape != self._held[name].shape:
                raise TypeError(f"Lives.{name} has shape {array.shape}; it must have {self._held[name].shape}")
        self._list(Lives, arrays)

    def _list(self, record: Any, arrays: dict[str, np.ndarray]) -> None:
        for name, array in arrays.items():
            dtype, dimensions = _ARRAYS[record][name]
            same = array.dtype is dtype or array.dtype == dtype  # comparing all fields of a record takes its time
            if not same or array.ndim != dimensions or not array.flags.c_contiguous:
                raise TypeError(
                    f"{record.__name__}.{name} is {array.dtype} with {array.ndim} dimensions; "
                    f"it must be {dtype} with {dimensions}, C contiguous"
                )
            if record is Lives and not array.flags.writeable:
                raise TypeError(f"Lives.{name} is read-only; give a copy that can be written to")
            start = _STARTS[record, name]
            self._words[start] = array.__array_interface__["data"][0]
            self._words[start + 1 : start + 1 + dimensions] = array.shape
            self._held[name] = array


def _reader(record: Any) -> Any:
    """A function for compiled code that gives the record of arrays behind a handle's address, without reference counts."""
    kinds = [numba.types.Array(numba.from_dtype(dtype), dimensions, "C") for dtype, dimensions in _ARRAYS[record].values()]
    starts = [_STARTS[record, name] for name in _ARRAYS[record]]
    result = numba.types.NamedTuple(kinds, record)

    @intrinsic
    def read(_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            words = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
            unchanging = builder.module.add_metadata([])

            def word(position: int) -> Any:
                loaded = builder.load(builder.gep(words, [ir.IntType(64)(position)]))
                loaded.set_metadata("invariant.load", unchanging)
                return loaded

            members = []
            for kind, start in zip(kinds, starts, strict=True):
                array = make_array(kind)(context, builder)
                size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
                shape = [word(start + 1 + d) for d in range(kind.ndim)]
                strides = [context.get_constant(numba.intp, size)]
                for length in shape[:0:-1]:
                    strides.insert(0, builder.mul(strides[0], length))
                data = builder.inttoptr(word(start), context.get_data_type(kind.dtype).as_pointer())
                populate_array(array, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
                members.append(array._getvalue())
            return context.make_tuple(builder, result, members)

        return result(numba.int64), generate

    return read


world_at, lives_at = _reader(World), _reader(Lives)
