"""Checks of the arguments that several ops share: shapes, dtypes, devices and ranges.

The values of states, digits and biases are not looked at: see ``ops.py``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ncg_fast.backends.formats import (
    SPARSE_HEADER,
    digits_count,
    is_sparse,
    sparse_capacity,
    sparse_words,
)
from ncg_fast.backends.numerics import BLOCK, MAX_EXPONENT, MIN_EXPONENT, PANEL, WORD
from ncg_fast.checks import (
    MAX_CHAINS,
    MAX_FLOAT32,
    MAX_OFFSET,
    MAX_SEED,
    MAX_STEP,
    axes,
    dense,
    integer,
    number,
    require,
    same_device,
    shows_values,
    tensor,
)

Named = tuple[str, Tensor]

MAX_CAPACITY = 2**31 - 1  # connections of sparse digits


def packed_argument(op: str, name: str, states: Tensor, n_units: int, n_chains: int) -> None:
    """Packed states of n_chains chains."""
    integer(op, "n_chains", n_chains, 0, MAX_CHAINS)
    shape = n_units, -(-n_chains // WORD)
    tensor(op, name, states, torch.int64, shape, "(n_units, ceil(B / 64))", "Use pack_states.")


def states_argument(op: str, name: str, states: Tensor, n_units: int, n_chains: int) -> None:
    """Packed states, or levels, of n_chains rows."""
    dense(op, name, states)
    if states.dtype == torch.int32:
        integer(op, "n_chains", n_chains, 0, MAX_CHAINS)
        tensor(op, name, states, torch.int32, (n_chains, n_units), "(B, n_units)")
    else:
        packed_argument(op, name, states, n_units, n_chains)


def digits_argument(op: str, name: str, digits: Tensor, n_out: int, n_in: int) -> None:
    """Digits of one direction, dense or sparse; torch.compile does not look into sparse ones."""
    dense(op, name, digits)
    if is_sparse(digits) and digits.dim() == 1:
        return _sparse_argument(op, name, digits, n_out, n_in)
    n_digits = digits.shape[1] if digits.dim() == 5 else 2
    shape = -(-n_out // PANEL), n_digits, -(-n_in // BLOCK), PANEL, BLOCK
    words = "(panels, n_digits, blocks, 32, 64)"
    tensor(op, name, digits, torch.int8, shape, words, "Use pack_weights.")
    integer(op, "n_digits", n_digits, 2, 3)


def _sparse_argument(op: str, name: str, digits: Tensor, n_out: int, n_in: int) -> None:
    least, n_words = sparse_words(n_out, 0), digits.shape[0]
    whole = n_words >= least and (n_words - least) % 2 == 0
    rule = f"{name} must have {least} words and two a connection"
    require(whole, op, rule, n_words, "Use pack_weights.")
    if torch.compiler.is_compiling():
        return
    n_digits, *sizes, n_connections = digits[:SPARSE_HEADER].tolist()
    rule = f"{name} must be of (n_out, n_in) = ({n_out}, {n_in}) units"
    require(sizes == [n_out, n_in], op, rule, tuple(sizes), "Use pack_weights.")
    integer(op, "n_digits", n_digits, 2, 3)
    capacity = sparse_capacity(digits)
    rule, actual = f"{name} must hold all connections", f"more than its capacity of {capacity}"
    fit, remedy = 0 <= n_connections <= capacity, "Use pack_weights with a larger capacity."
    require(fit, op, rule, actual, remedy)


def bias_argument(op: str, name: str, bias: Tensor) -> int:
    """A bias, float32 (n_units,); its number of units."""
    (n_units,) = axes(op, name, bias, ("n_units",))
    tensor(op, name, bias, torch.float32, (n_units,), "(n_units,)")
    return n_units


def exponent_argument(op: str, weight_exponent: int) -> None:
    """The exponent of the digits."""
    integer(op, "weight_exponent", weight_exponent, MIN_EXPONENT, MAX_EXPONENT)


def layer_arguments(
    op: str, states: Named, digits: Named, bias: Named, weight_exponent: int, n_chains: int
) -> None:
    """States, digits and bias of one half step."""
    n_out = bias_argument(op, *bias)
    shape = axes(op, *states, ("n_units", "words"))
    n_in = shape[1 if states[1].dtype == torch.int32 else 0]
    states_argument(op, *states, n_in, n_chains)
    digits_argument(op, *digits, n_out, n_in)
    exponent_argument(op, weight_exponent)
    same_device(op, **dict([states, digits, bias]))


def draw_arguments(
    op: str, seed: int, chain_offset: int, step: int, beta: Tensor | None, like: Tensor, n: int
) -> None:
    """What a draw depends on; beta, of n chains, on the device of ``like``."""
    integer(op, "seed", seed, 0, MAX_SEED)
    integer(op, "chain_offset", chain_offset, 0, MAX_OFFSET)
    integer(op, "step", step, 0, MAX_STEP)
    if beta is not None:
        tensor(op, "beta", beta, torch.float32, (n,), "(n_chains,)")
        same_device(op, states=like, beta=beta)


def model_arguments(
    op: str,
    visible: Tensor,
    to_hidden: Tensor,
    to_visible: Tensor,
    visible_bias: Tensor,
    hidden_bias: Tensor,
    weight_exponent: int,
    n_chains: int,
) -> None:
    """Both directions, for ops that go to and fro."""
    layer = ("visible", visible), ("to_hidden", to_hidden), ("hidden_bias", hidden_bias)
    n_visible = bias_argument(op, "visible_bias", visible_bias)
    states_argument(op, "visible", visible, n_visible, n_chains)
    layer_arguments(op, *layer, weight_exponent, n_chains)
    digits_argument(op, "to_visible", to_visible, n_visible, hidden_bias.shape[0])
    _both_directions(op, to_hidden, to_visible)
    same_device(op, visible=visible, to_visible=to_visible, visible_bias=visible_bias)


def _both_directions(op: str, to_hidden: Tensor, to_visible: Tensor) -> None:
    """Equally many digits both ways: they are of the same weights."""
    if torch.compiler.is_compiling() and is_sparse(to_hidden):
        return
    rule, n_digits = "to_visible must have as many digits as to_hidden", digits_count(to_hidden)
    given, remedy = digits_count(to_visible), "Use pack_weights for both."
    require(given == n_digits, op, f"{rule} ({n_digits})", given, remedy)


def _same_format(op: str, to_hidden: Tensor, to_visible: Tensor) -> None:
    """Digits that an update writes: both dense, or both sparse with the same room."""

    def words(digits: Tensor) -> str:
        if not is_sparse(digits):
            return "dense"
        return f"sparse with a capacity of {sparse_capacity(digits)}"

    if torch.compiler.is_compiling() and is_sparse(to_hidden) and is_sparse(to_visible):
        return
    rule, given = f"to_visible must be {words(to_hidden)} as to_hidden is", words(to_visible)
    require(given == words(to_hidden), op, rule, given, "Use pack_weights for both.")


def phase_arguments(
    op: str, hidden_data: Tensor, visible_data: Tensor, hidden_model: Tensor, visible_model: Tensor
) -> tuple[int, int]:
    """The four state matrices of the two phases; (n_hidden, n_visible)."""
    n_rows, n_hidden = axes(op, "hidden_data", hidden_data, ("n_rows", "n_hidden"))
    n_chains, _ = axes(op, "hidden_model", hidden_model, ("n_chains", "n_hidden"))
    n_visible, _ = axes(op, "visible_model", visible_model, ("n_visible", "words"))
    for name, hidden, count in (
        ("hidden_data", hidden_data, n_rows),
        ("hidden_model", hidden_model, n_chains),
    ):
        tensor(op, name, hidden, torch.int32, (count, n_hidden), "(B, n_hidden)")
        rule = f"{name} must have at least one row"
        require(count > 0, op, rule, tuple(hidden.shape), "Leave out empty batches.")
    states_argument(op, "visible_data", visible_data, n_visible, n_rows)
    packed_argument(op, "visible_model", visible_model, n_visible, n_chains)
    phases = {"visible_data": visible_data, "visible_model": visible_model}
    same_device(op, hidden_data=hidden_data, hidden_model=hidden_model, **phases)
    return n_hidden, n_visible


def parameter_arguments(op: str, parameters: Any, n_labels: int) -> tuple[int, int]:
    """The tensors an update writes: shapes, dtypes, contiguous, on one device; their sizes."""
    named = parameters._asdict()
    n_hidden, n_visible = axes(op, "weight", named["weight"], ("n_hidden", "n_visible"))
    pair, words = (n_hidden, n_visible), "(n_hidden, n_visible)"
    for name in ("weight", "connection_strength", "weight_velocity", "mask"):
        if named[name] is not None or name == "mask":
            kind = torch.bool if name == "mask" else torch.float32
            tensor(op, name, named[name], kind, pair, words)
    for layer, size in (("visible", n_visible), ("hidden", n_hidden)):
        for name in (f"{layer}_bias", f"{layer}_velocity"):
            if named[name] is not None or name.endswith("bias"):
                tensor(op, name, named[name], torch.float32, (size,), f"(n_{layer},)")
    velocities = [named[f"{name}_velocity"] is not None for name in ("weight", "visible", "hidden")]
    rule, remedy = "velocities must be all given or all None", "Pass three or none."
    require(len(set(velocities)) == 1, op, rule, f"{sum(velocities)} of 3", remedy)
    digits_argument(op, "to_hidden", parameters.to_hidden, n_hidden, n_visible)
    digits_argument(op, "to_visible", parameters.to_visible, n_visible, n_hidden)
    _both_directions(op, parameters.to_hidden, parameters.to_visible)
    _same_format(op, parameters.to_hidden, parameters.to_visible)
    same_device(op, **named)
    for name, value in named.items():
        if value is not None:
            rule, actual = f"{name} must be contiguous", f"strides {value.stride()}"
            require(value.is_contiguous(), op, rule, actual, "Use .contiguous().")
    integer(op, "n_labels", n_labels, 0, n_visible)
    return n_hidden, n_visible


def chain_arguments(
    op: str, chains: Tensor | None, n_chains: int | None, n_visible: int, n_rows: int
) -> int:
    """Packed persistent chains, which are written, or None for CD; their number."""
    if chains is None:
        rule = f"n_chains must be None or n_rows ({n_rows}) where chains is None"
        require(n_chains in (None, n_rows), op, rule, n_chains, "Leave it out, or pass chains.")
        return n_rows
    rule, remedy = "n_chains must be given with chains", "Packed words do not tell it."
    require(n_chains is not None, op, rule, n_chains, remedy)
    n_chains = integer(op, "n_chains", n_chains, 1, MAX_CHAINS)
    packed_argument(op, "chains", chains, n_visible, n_chains)
    actual, remedy = f"strides {chains.stride()}", "Use .contiguous()."
    require(chains.is_contiguous(), op, "chains must be contiguous", actual, remedy)
    return n_chains


def own_memory(op: str, chains: Tensor | None, visible_data: Tensor) -> None:
    """Chains are written while data are read; fake ones, as torch.compile has, lie nowhere."""
    given = type(chains), type(visible_data)
    if torch.compiler.is_compiling() or chains is None or given != (Tensor, Tensor):
        return
    (start, end), (data_start, data_end) = map(_addresses, (chains, visible_data))
    rule, actual = "chains must not share memory with visible_data", "the same addresses"
    apart = chains.device != visible_data.device or end <= data_start or data_end <= start
    require(apart, op, rule, actual, "Use chains.clone().")


def _addresses(tensor: Tensor) -> tuple[int, int]:
    """From the first byte to behind the last; strides are not negative in torch."""
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    last = sum((size - 1) * stride for size, stride in steps)
    start = tensor.data_ptr()
    return start, start + (last + 1) * tensor.element_size()


def rate_arguments(
    op: str, lr: float, lr_strength: float, momentum: float, weight_decay: float
) -> tuple[float, float, float, float]:
    """Rates of an update, within float32."""
    return (
        number(op, "lr", lr, 0.0, MAX_FLOAT32),
        number(op, "lr_strength", lr_strength, 0.0, MAX_FLOAT32),
        number(op, "momentum", momentum, 0.0, 1.0),
        number(op, "weight_decay", weight_decay, 0.0, MAX_FLOAT32),
    )


def velocity_argument(op: str, momentum: float, velocity: Tensor | None) -> None:
    """Velocities where there is momentum."""
    rule, remedy = "velocities must be given with momentum", "Pass zeros like the parameters."
    require(not momentum or velocity is not None, op, rule, None, remedy)


def ladder_argument(op: str, betas: Tensor) -> None:
    """Inverse temperatures from 0 to 1; on a GPU their values are not looked at."""
    (n_betas,) = axes(op, "betas", betas, ("n_betas",))
    tensor(op, "betas", betas, torch.float64, (n_betas,), "(n_betas,)")
    rule, remedy = "betas must have at least two entries", "Pass 0 and 1, and values between."
    require(n_betas >= 2, op, rule, n_betas, remedy)
    if shows_values(betas):
        rises = bool((betas[1:] >= betas[:-1]).all())
        rule, actual = "betas must not decrease", "a ladder that does, or NaN"
        require(rises, op, rule, actual, "Sort them.")
        first, last = float(betas[0]), float(betas[-1])
        rule, actual = "betas must begin with 0 and end with 1", f"{first:g} and {last:g}"
        require(first == 0 and last == 1, op, rule, actual, "Add the ends.")
