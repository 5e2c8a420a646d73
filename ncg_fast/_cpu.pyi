from torch import Tensor

from ncg_fast.backends.records import (
    Batch,
    Draw,
    Gradients,
    Layer,
    Model,
    Offsets,
    Parameters,
    Phases,
    PhaseSums,
    Rates,
)

def instruction_set() -> str: ...
def instruction_sets(supported: bool = True) -> list[str]: ...
def use_instruction_set(name: str) -> None: ...
def await_helpers(whether: bool, /) -> None: ...
def half_step_way(n_out: int, n_in: int, n_chains: int, sparse: bool, n_threads: int) -> str: ...
def dense_format() -> str: ...

takes_rows: bool

# The ops: arguments, results, scratch memory, and the number of threads, or a stream.

def scratch_bytes(
    op: str, n_hidden: int, n_visible: int, n_rows: int, n_chains: int, levels: bool, /
) -> int: ...
def pack_states(
    states: Tensor, packed: Tensor, scratch: Tensor | None, context: int, /
) -> None: ...
def unpack_states(
    packed: Tensor, n_chains: int, states: Tensor, scratch: Tensor | None, context: int, /
) -> None: ...
def pack_weights(
    weight: Tensor,
    mask: Tensor | None,
    n_digits: int,
    weight_exponent: int,
    capacity: int | None,
    to_hidden: Tensor,
    to_visible: Tensor,
    scratch: Tensor | None,
    context: int,
    /,
) -> None: ...
def scan_weights(
    weight: Tensor, mask: Tensor, found: Tensor, scratch: Tensor | None, context: int, /
) -> None: ...
def mean(
    states: Tensor,
    n_chains: int,
    layer: Layer,
    mean: Tensor,
    scratch: Tensor | None,
    context: int,
    /,
) -> None: ...
def sample(
    states: Tensor,
    n_chains: int,
    layer: Layer,
    draw: Draw,
    stream: int,
    packed: Tensor,
    scratch: Tensor | None,
    context: int,
    /,
) -> None: ...
def gibbs_steps(
    visible: Tensor,
    n_chains: int,
    model: Model,
    n_steps: int,
    draw: Draw,
    clamped: Tensor | None,
    visible_out: Tensor,
    hidden_out: Tensor,
    scratch: Tensor | None,
    context: int,
    /,
) -> None: ...
def connection_gradient(
    phases: Phases,
    weight: Tensor | None,
    mask: Tensor | None,
    difference: Tensor,
    by_weight: Tensor,
    by_strength: Tensor,
    by_visible: Tensor,
    by_hidden: Tensor,
    scratch: Tensor | None,
    context: int,
    /,
) -> None: ...
def phase_sums(
    hidden: Tensor,
    visible: Tensor,
    sums: PhaseSums,
    scratch: Tensor | None,
    context: int,
    /,
) -> None: ...
def ncg_update_(
    parameters: Parameters,
    phases: Phases,
    rates: Rates,
    offsets: Offsets,
    weight_exponent: int,
    n_labels: int,
    found: Tensor,
    scratch: Tensor | None,
    context: int,
    /,
) -> None: ...
def update_from_sums_(
    parameters: Parameters,
    data: PhaseSums,
    model: PhaseSums,
    n_rows: int,
    n_chains: int,
    data_levels: bool,
    rates: Rates,
    weight_exponent: int,
    n_labels: int,
    found: Tensor,
    scratch: Tensor | None,
    context: int,
    /,
) -> None: ...
def gradient_update_(
    parameters: Parameters,
    gradients: Gradients,
    rates: Rates,
    weight_exponent: int,
    n_labels: int,
    found: Tensor,
    scratch: Tensor | None,
    context: int,
    /,
) -> None: ...
def train_steps_(
    parameters: Parameters,
    batch: Batch,
    rates: Rates,
    lr_factors: Tensor | None,
    offsets: Offsets,
    draw: Draw,
    weight_exponent: int,
    n_labels: int,
    least: float,
    most: float,
    found: Tensor,
    scratch: Tensor | None,
    context: int,
    /,
) -> None: ...
def free_energy(
    visible: Tensor,
    n_chains: int,
    layer: Layer,
    visible_bias: Tensor,
    energy: Tensor,
    scratch: Tensor | None,
    context: int,
    /,
) -> None: ...
def anneal(
    visible: Tensor,
    n_chains: int,
    model: Model,
    base_bias: Tensor,
    betas: Tensor,
    draw: Draw,
    log_weights: Tensor,
    scratch: Tensor | None,
    context: int,
    /,
) -> None: ...
