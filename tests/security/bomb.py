"""Files that would run a command if anything unpickled them, and the canary by which one would know."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

CANARY = "canary"


class Bomb:
    """Makes the canary when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self.canary,)


def pickled(canary: Path) -> bytes:
    return pickle.dumps(Bomb(canary), protocol=2)


def npz(canary: Path, *names: str) -> bytes:
    """An archive of NumPy whose arrays hold objects, which `allow_pickle=True` would unpickle."""
    out = io.BytesIO()
    np.savez(out, **{name: np.array([Bomb(canary)], dtype=object) for name in names})
    return out.getvalue()


def torch_archive(canary: Path) -> bytes:
    """What `torch.save` writes, its pickle replaced."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(canary))
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return out.getvalue()


def parquet(canary: Path) -> bytes:
    """A table with a column of an extension type that is a pickle: CVE-2023-47248 of pyarrow, which ran it on reading."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": pickled(canary)}
    names = ("image", "person", "customer", "policy", "step", "label", "reward", "propensity")
    schema = pa.schema([pa.field(name, pa.int64(), metadata=metadata) for name in names])
    out = io.BytesIO()
    pq.write_table(pa.table({name: [1, 2, 3] for name in names}, schema=schema), out)
    return out.getvalue()


def goes_off(content: bytes, canary: Path, load: Callable[[io.BytesIO], object]) -> bool:
    """Whether a careless reader would have made the canary; removes it."""
    load(io.BytesIO(content))
    there = canary.exists()
    canary.unlink(missing_ok=True)
    return there
