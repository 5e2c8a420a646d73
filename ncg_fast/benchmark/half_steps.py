"""How a half step sums weights on the CPU; every way gives the same bits."""

from __future__ import annotations

from ncg_fast import backends
from ncg_fast.model import digits

WORDS = {
    "rows": "rows of 16-bit weights",
    "tiles": "products in tiles",
    "sparse": "lists of the connections that are on",
}


def of_machine(
    n_visible: int, n_hidden: int, density: float, n_chains: int
) -> dict[str, str] | None:
    """The ways to the hidden and to the visible units, of ``WORDS``.

    None where the slow reference serves.

    Args:
        n_visible: visible units.
        n_hidden: hidden units.
        density: share of the connections that is on.
        n_chains: rows of a batch, or chains.
    """
    if backends.instruction_set() is None:
        return None
    from ncg_fast.backends.cpu import half_step_way

    sparse = digits.form(n_hidden, n_visible, density) == "sparse"
    return {
        "to_hidden": half_step_way(n_hidden, n_visible, n_chains, sparse),
        "to_visible": half_step_way(n_visible, n_hidden, n_chains, sparse),
    }
