"""A table too large for memory, cut into blocks of whole customers.

A log of a shop is in order of time, so a customer's rows lie anywhere in it.  It is read once from front to back, and each row goes
to one of B files by a hash of its customer (a hash join's partition, as in Kitsuregawa, Tanaka & Moto-oka 1983); each file holds all
rows of its customers and fits into memory.  Without a column `customer` every row is a customer of its own, and consecutive rows
make a block.  The files are compressed Arrow streams in a folder beside the answer, which is removed at the end.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sim.evaluation.estimators.errors import OffPolicyError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

BLOCK_ROWS = 400_000
READ_ROWS = 200_000  # at once
MOST_FILES = 512  # open at once
CSV_BYTES = 128 * 2**20  # a smaller file has few enough rows to be read whole
ROW = "\0row"  # column of row numbers, from 1; a name that no log has


@dataclasses.dataclass(frozen=True)
class Partition:
    """Blocks of a table.

    Attributes
    ----------
    rows, customers, longest : int
        Rows, customers, and rows of the customer that has most.
    """

    files: tuple[Path, ...]
    rows: int
    customers: int
    longest: int
    folder: tempfile.TemporaryDirectory[str]

    def frames(self) -> Iterator[pd.DataFrame]:
        """One frame a block, with row numbers in the column `ROW`; text that is numbers is read as numbers."""
        for file in self.files:
            yield _opened(file).read_all().to_pandas().apply(_numbers)


def is_large(path: Path) -> bool:
    """Whether a table is to be read in blocks.

    Raises
    ------
    OffPolicyError
        It cannot be read.
    """
    if path.suffix.lower() == ".csv":
        return path.stat().st_size > CSV_BYTES
    import pyarrow.dataset

    with _told(path):
        return int(pyarrow.dataset.dataset(path, format="parquet").count_rows()) > BLOCK_ROWS


def partition(path: Path, beside: Path, customers: int | None = None) -> Partition:
    """Read a table once and cut it.

    Parameters
    ----------
    beside : folder in which the files are made; they take about as much room as the table.
    customers : only the first so many, in the order in which they appear.

    Raises
    ------
    OffPolicyError
        It cannot be read, is empty, or a row has no customer.
    """
    import pyarrow as pa

    beside.mkdir(parents=True, exist_ok=True)
    folder = tempfile.TemporaryDirectory(prefix=".off_policy-", dir=beside)
    rows, wanted = 0, _FirstOnes(customers)
    writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
    total, batches = _batches(path)
    count = min(MOST_FILES, -(-total // BLOCK_ROWS))
    with contextlib.ExitStack() as stack:
        for batch in batches:
            numbers = np.arange(rows + 1, rows + 1 + len(batch))
            rows += len(batch)
            table = batch.append_column(ROW, pa.array(numbers))
            for b, part in _shares(table, path, numbers, count, wanted):
                if b not in writers:
                    options = pa.ipc.IpcWriteOptions(compression="lz4")
                    writers[b] = stack.enter_context(pa.ipc.new_stream(str(_file(folder, b)), part.schema, options=options))
                writers[b].write_table(part)
            if wanted.complete(rows):
                break
    if not writers:
        raise OffPolicyError(f"logs={path}: holds no row")
    files = tuple(_file(folder, b) for b in sorted(writers))
    lengths = [_lengths(file) for file in files]
    return Partition(
        files, int(sum(each.sum() for each in lengths)), sum(map(len, lengths)), int(max(each.max() for each in lengths)), folder
    )


class _FirstOnes:
    """The first so many customers of a log, in the order of appearance; all where `number` is None."""

    def __init__(self, number: int | None):
        self.number, self.known = number, set[object]()

    def kept(self, customers: list[object]) -> np.ndarray:
        """Which rows (n,) are of them."""
        if self.number is None:
            return np.ones(len(customers), bool)
        for customer in customers if len(self.known) < self.number else ():
            if len(self.known) < self.number:
                self.known.add(customer)
        return np.fromiter((customer in self.known for customer in customers), bool, len(customers))

    def complete(self, rows: int) -> bool:
        """Whether nothing more can come: where each row is a customer."""
        return self.number is not None and not self.known and rows >= self.number


def _shares(
    table: pa.Table, path: Path, numbers: np.ndarray, count: int, wanted: _FirstOnes
) -> Iterator[tuple[int, pa.Table]]:
    """Number of the file and the rows that go there."""
    import pandas as pd
    import pyarrow as pa

    if "customer" not in table.column_names:
        if wanted.number is not None:
            table, numbers = table.filter(pa.array(numbers <= wanted.number)), numbers[numbers <= wanted.number]
        block = (numbers - 1) // BLOCK_ROWS % MOST_FILES
        cuts = np.flatnonzero(np.diff(block)) + 1
        for first, last in zip([0, *cuts], [*cuts, len(block)], strict=True):
            if last > first:
                yield int(block[first]), table.slice(first, last - first)
        return
    column = table.column("customer")
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy()))
        raise OffPolicyError(f"logs={path}: row {numbers[row]}, column customer: None is empty")
    own = column.to_pandas()
    bucket = (pd.util.hash_array(own.to_numpy()) % np.uint64(count)).astype(np.int64)
    bucket = np.where(wanted.kept(own.tolist()), bucket, -1) if wanted.number is not None else bucket
    order = np.argsort(bucket, kind="stable")
    sorted_table, bounds = table.take(pa.array(order)), np.searchsorted(bucket[order], np.arange(count + 1))
    for b, (first, last) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
        if last > first:
            yield b, sorted_table.slice(int(first), int(last - first))


def _batches(path: Path) -> tuple[int, Iterator[pa.Table]]:
    """About how many rows a table has, and the rows by and by; all of a CSV's columns are text."""
    import pyarrow as pa

    if path.suffix.lower() != ".csv":
        import pyarrow.dataset

        with _told(path):
            data = pyarrow.dataset.dataset(path, format="parquet")
            total = int(data.count_rows())
        return total, _tables(path, lambda: data.to_batches(batch_size=READ_ROWS))
    import pyarrow.csv

    with _told(path), path.open("rb") as stream:
        head = [next(stream, b"") for _ in range(1 + 1000)]
    row = max(1, sum(map(len, head[1:])) // max(1, sum(map(bool, head[1:]))))
    names = next(csv.reader([head[0].decode("utf-8-sig")]), [])
    convert = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True
    )
    read = pyarrow.csv.ReadOptions(block_size=max(2**20, READ_ROWS * row))
    about = path.stat().st_size // row + 1
    return about, _tables(path, lambda: pyarrow.csv.open_csv(path, read_options=read, convert_options=convert))


def _tables(path: Path, start: Callable[[], Iterable[pa.RecordBatch]]) -> Iterator[pa.Table]:
    """The batches that hold rows, as tables."""
    import pyarrow as pa

    with _told(path):
        yield from (pa.Table.from_batches([batch]) for batch in start() if batch.num_rows)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what the reader raises into a sentence."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OffPolicyError(
            f"logs={path}: is no table that can be read ({reason}); give CSV in UTF-8 or Parquet"
        ) from None


def _numbers(column: pd.Series) -> pd.Series:
    import pandas as pd

    if column.dtype != object and not isinstance(column.dtype, pd.StringDtype):
        return column
    with contextlib.suppress(ValueError, TypeError):
        return pd.to_numeric(column)
    return column


def _file(folder: tempfile.TemporaryDirectory[str], b: int) -> Path:
    return Path(folder.name) / f"{b:04d}.arrows"


def _opened(file: Path) -> pa.ipc.RecordBatchStreamReader:
    import pyarrow as pa

    return pa.ipc.open_stream(pa.memory_map(str(file)))


def _lengths(file: Path) -> np.ndarray:
    """Rows (n,) of each customer of a file."""
    found: list[np.ndarray] = []
    rows = 0
    for batch in _opened(file):
        rows += batch.num_rows
        if "customer" in batch.schema.names:
            found.append(batch.column("customer").to_pandas().to_numpy())
    if not found:
        return np.ones(rows, np.int64)
    import pandas as pd

    return np.bincount(pd.factorize(np.concatenate(found))[0])
