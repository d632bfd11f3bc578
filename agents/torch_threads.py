"""How many threads torch's own operations use, and therefore in which order they sum.

Matrix products round differently when another number of threads shares them, so training that must give the same bits
everywhere states the number, whatever the process was started with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Set the threads of torch's own operations in this thread; put them back at the end."""
    import torch

    former = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(former)
