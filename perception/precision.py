"""Which numbers FaceNet calculates with: float32, or bfloat16 where the processor multiplies it in hardware.

bfloat16 keeps the 8 bits of float32's exponent and 8 of its significand.  Convolutions take it in and sum in float32; the
last layer and everything after it stay float32.  What that moves is measured in docs/perception.md.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perception.errors import InputError

if TYPE_CHECKING:
    from torch import nn

PRECISIONS = ("auto", "float32", "bfloat16")


def effective_precision(precision: str = "auto", device: str = "cpu") -> str:
    """``float32`` or ``bfloat16``; ``auto`` is bfloat16 on a processor with AMX or AVX-512 BF16, else float32.

    Raises
    ------
    InputError
        For another word.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision={precision} is not known; use one of {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision
    return "bfloat16" if device == "cpu" and _multiplies_bfloat16() else "float32"


@functools.cache
def _multiplies_bfloat16() -> bool:
    """Whether the processor does; Linux says so without torch, whose import takes seconds that a cached answer does not need."""
    try:
        return re.search(r"\b(amx|avx512)_bf16\b", Path("/proc/cpuinfo").read_text(errors="replace")) is not None
    except OSError:
        import torch

        able = torch.cpu.get_capabilities()
        return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


def in_bfloat16(network: nn.Module) -> nn.Module:
    """FaceNet with its batch norms folded into the convolutions (in float32), these in bfloat16, the last layer in float32.

    Changes the network given.
    """
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    blocks: Iterator[Any] = network.modules()  # facenet-pytorch declares no types
    for block in blocks:
        if hasattr(block, "conv") and hasattr(block, "bn"):
            block.conv, block.bn = fuse_conv_bn_eval(block.conv, block.bn), torch.nn.Identity()
    network.to(memory_format=torch.channels_last).bfloat16()
    network.last_linear.float()
    network.last_bn.float()
    pooling = network.avgpool_1a
    assert isinstance(pooling, torch.nn.Module)
    pooling.register_forward_hook(lambda _module, _inputs, out: out.float())
    return network
