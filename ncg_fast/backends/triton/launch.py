"""How every kernel is launched: on the device of its tensors, without fused multiply-adds."""

from typing import Any

import torch


def launch(
    kernel: Any,
    n_tiles: int,
    *arguments: Any,
    num_warps: int = 4,
    num_stages: int = 3,
) -> None:
    """Runs one program a tile on the device of the first argument, on its current stream."""
    with torch.cuda.device_of(arguments[0]):
        options = {"num_warps": num_warps, "num_stages": num_stages, "enable_fp_fusion": False}
        kernel[(n_tiles,)](*arguments, **options)
