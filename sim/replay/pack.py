"""Many small numbers into one HTML file: typed columns, one after the other, deflated, in base64.

Beside the readable JSON a page carries one block of columns; `directory` says where each begins, how long it is, and by
what its whole numbers are to be divided.  The browser inflates it with DecompressionStream: no library, no network.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np

_CODES = {
    "uint8": "u1", "int8": "i1", "uint16": "u2", "int16": "i2", "uint32": "u4", "int32": "i4", "float32": "f4",
    "float64": "f8",
}  # fmt: skip


class Columns:
    """Collects columns; `block()` is the deflated text and `directory` its table of contents."""

    def __init__(self) -> None:
        self.directory: dict[str, list[Any]] = {}
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, name: str, values: Any, kind: str, scale: float = 1.0) -> None:
        """Append a column (flattened); with `scale` it is stored as rounded whole numbers value * scale.

        Raises
        ------
        OverflowError
            A value does not fit the kind.
        """
        array = np.asarray(values).ravel()
        dtype = np.dtype(kind)
        if dtype.kind in "iu":
            array = np.rint(np.asarray(array, float) * scale) if scale != 1.0 or array.dtype.kind == "f" else array
            limits = np.iinfo(dtype)
            if len(array) and (array.min() < limits.min or array.max() > limits.max):
                raise OverflowError(f"column {name} reaches from {array.min()} to {array.max()}, beyond {kind}")
        data = array.astype(dtype.newbyteorder("<")).tobytes()
        self.directory[name] = [_CODES[dtype.name], self._size, len(array), scale]
        padding = -len(data) % 8  # typed arrays must begin at a multiple of their size
        self._parts.append(data + bytes(padding))
        self._size += len(data) + padding

    def block(self) -> str:
        return base64.b64encode(zlib.compress(b"".join(self._parts), 9)).decode()


def json_for_script(value: Any) -> str:
    """JSON that may stand inside <script>: no text in it can end the element or open a comment.

    A number that is not finite becomes null, as JSON has none.
    """
    text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character, escape in (
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("&", "\\u0026"),
        ("\u2028", "\\u2028"),
        ("\u2029", "\\u2029"),
    ):
        text = text.replace(character, escape)
    return text


def _finite(x: Any) -> Any:
    if isinstance(x, dict):
        return {str(k): _finite(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [_finite(v) for v in x]
    if isinstance(x, np.ndarray):
        return _finite(x.tolist())
    if isinstance(x, np.generic):
        return _finite(x.item())
    return None if isinstance(x, float) and not np.isfinite(x) else x
