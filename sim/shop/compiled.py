"""Compilation of the shop's equations with Numba, and the cache that makes the second start fast.

Numba's own cache watches only the file of the function that is called from Python, not the files of the functions that it
calls: editing `affect.py` would leave a stale `dynamics.py` behind.  So the cache folder carries a digest of *all* sources
of this package, and a changed equation is always compiled anew.

The folder is `$PUSH_SIM_CACHE`, else `$XDG_CACHE_HOME/push-simulator`, else `~/.cache/push-simulator`.  Where it cannot be
written, or belongs to somebody else, the equations are compiled at every start (said once), never refused: whoever can write there
decides what machine code runs here (Numba's index of it is a pickle), so it is kept for its owner alone.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array


def cache_root() -> Path:
    """Folder for everything that can be computed again."""
    chosen = os.environ.get("PUSH_SIM_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "push-simulator"


def source_digest() -> str:
    """Digest of every source file of the shop and of the Numba version that compiles it."""
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _is_ours_alone(folder: Path) -> bool:
    """Whether only this user (or root) can write the folder, which is made so where it is this user's."""
    if not hasattr(os, "getuid"):  # Windows: profiles are their owner's
        return True
    status = folder.stat()
    if status.st_uid == os.getuid() and status.st_mode & 0o022:
        folder.chmod(0o700)
    return status.st_uid in (0, os.getuid()) and not folder.stat().st_mode & 0o022


def _prepare_cache(keep: int = 4) -> Path | None:
    """Point Numba at this source digest's folder; drop all but the newest `keep` older digests. None if unwritable."""
    try:
        home = cache_root() / "numba"
        folder = home / source_digest()
        folder.mkdir(parents=True, exist_ok=True)
        if not _is_ours_alone(home):
            print(f"note: {home} belongs to another user, so the shop is compiled at every start", file=sys.stderr)
            return None
        probe = folder / f".writable-{os.getpid()}"
        probe.write_text("")
        probe.unlink()
        stale = sorted((p for p in home.iterdir() if p != folder), key=lambda p: p.stat().st_mtime, reverse=True)
        for old in stale[keep:]:
            shutil.rmtree(old, ignore_errors=True)
    except (OSError, RuntimeError):
        print("note: the cache folder cannot be written, so the shop is compiled at every start", file=sys.stderr)
        return None
    os.utime(folder)
    setattr(numba.config, "CACHE_DIR", str(folder))  # noqa: B010  # not in the module's stubs
    return folder


CACHE = _prepare_cache()


def is_warm() -> bool:
    """True where compiled code for these very sources is already on disk."""
    return CACHE is not None and any(CACHE.rglob("*.nbi"))


def compiled(function: Any) -> Any:
    """`numba.njit` as every equation of the shop uses it: no fast-math (same bits everywhere), no interpreter lock."""
    return numba.njit(cache=CACHE is not None, nogil=True, error_model="numpy")(function)


def inlined(function: Any) -> Any:
    """For small equations: written into whoever calls them, so that a loop over customers can do several at once."""
    return numba.njit(nogil=True, error_model="numpy", forceinline=True)(function)


def aside(function: Any) -> Any:
    """For what happens in some scenarios only: a plain call, which keeps it out of the code of the default shop."""
    return numba.njit(nogil=True, error_model="numpy")(function)


def woven(function: Any) -> Any:
    """For small equations that take whole records of arrays: woven into their caller before compilation.

    A plain call would count references to every array of `World` and `Lives`, which costs several times the equation itself.
    """
    return numba.njit(nogil=True, error_model="numpy", inline="always")(function)


@intrinsic
def _borrow(_context: Any, array: Any) -> Any:
    """The same array without a reference count, for use inside compiled code while the caller holds the array.

    Numba counts a reference at every access to an array inside a tuple; borrowed arrays have nothing to count.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = make_array(signature.return_type)(context, builder, value=arguments[0])
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        view.parent = cgutils.get_null_value(view.parent.type)
        return view._getvalue()

    return array(array), generate


borrow: Any = _borrow


def _stack(of: Any, size: int) -> Any:
    @intrinsic
    def allocate(_context: Any) -> Any:
        kind = numba.types.Array(of, 1, "C")

        def generate(context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
            memory = cgutils.alloca_once(builder, context.get_value_type(of), size)
            array, number = make_array(kind)(context, builder), context.get_constant(numba.intp, 8)
            shape = [context.get_constant(numba.intp, size)]
            populate_array(array, data=memory, shape=shape, strides=[number], itemsize=number, meminfo=None)
            return array._getvalue()

        return kind(), generate

    return allocate


def stack_floats(size: int) -> Any:
    """A function for compiled code that gives room for `size` float64 on the stack of its caller, uninitialised."""
    return _stack(numba.float64, size)


def stack_integers(size: int) -> Any:
    """As `stack_floats`, of int64."""
    return _stack(numba.int64, size)


@intrinsic
def _widen(_context: Any) -> Any:
    """Loops of the function in which this stands take the widest registers there are.

    LLVM prefers half of them on some processors, of which early ones slowed down under the widest.  Bits do not depend on it.
    """

    def generate(context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')  # past llvmlite's list of plain names
        return context.get_dummy_value()

    return numba.void(), generate


widen: Any = _widen


@intrinsic
def _copy(_context: Any, target: Any, start: Any, source: Any) -> Any:
    """Copy all of `source` (n,) into `target` from place `start` on; both without gaps, of one type, and room enough."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, of = (make_array(signature.args[a])(context, builder, value=arguments[a]) for a in (0, 2))
        size = context.get_abi_sizeof(context.get_data_type(target.dtype))
        cgutils.raw_memcpy(builder, builder.gep(to.data, [arguments[1]]), of.data, of.nitems, size)
        return context.get_dummy_value()

    assert target.dtype == source.dtype and target.layout == source.layout == "C" and target.ndim == source.ndim == 1
    return numba.void(target, numba.int64, source), generate


copy: Any = _copy


@intrinsic
def _clear(_context: Any, target: Any) -> Any:
    """Set every number of `target`, an array without gaps, to zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = make_array(signature.args[0])(context, builder, value=arguments[0])
        size = context.get_constant(numba.intp, context.get_abi_sizeof(context.get_data_type(target.dtype)))
        cgutils.memset(builder, array.data, builder.mul(array.nitems, size), 0)
        return context.get_dummy_value()

    assert target.layout == "C"
    return numba.void(target), generate


clear: Any = _clear


@intrinsic
def _prefetch(_context: Any, record: Any) -> Any:
    """Begin to bring a record, or a row of numbers, into the processor's nearer caches: it will be wanted soon."""
    row = isinstance(record, numba.types.Array)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte, word = ir.IntType(8), ir.IntType(32)
        fetch = builder.module.declare_intrinsic(
            "llvm.prefetch", [byte.as_pointer()], ir.FunctionType(ir.VoidType(), [byte.as_pointer(), word, word, word])
        )

        def touch(data: Any, offset: Any) -> None:
            builder.call(fetch, [builder.gep(data, [offset]), word(0), word(2), word(1)])

        if row:
            array = make_array(record)(context, builder, value=arguments[0])
            data = builder.bitcast(array.data, byte.as_pointer())
            size = context.get_constant(numba.intp, context.get_abi_sizeof(context.get_data_type(record.dtype)))
            with cgutils.for_range_slice(
                builder, cgutils.intp_t(0), builder.mul(array.nitems, size), cgutils.intp_t(_LINE), cgutils.intp_t
            ) as (offset, _):
                touch(data, offset)
        else:
            data = builder.bitcast(arguments[0], byte.as_pointer())
            for offset in range(0, record.size, _LINE):
                touch(data, ir.IntType(64)(offset))
        return context.get_dummy_value()

    return numba.void(record), generate


prefetch: Any = _prefetch
_LINE = 64  # bytes of the cache that are fetched together


_announced = False


def announce() -> None:
    """Say once, before the first call, that the equations are about to be compiled."""
    global _announced
    if not _announced and not is_warm():
        print(
            "compiling the shop's equations for this machine (once, about a minute) ...",
            file=sys.stderr,
            flush=True,
        )
    _announced = True
