"""Learning rules: what a training step does with the connections."""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """A learning rule.

    Attributes:
        name: as ``fit`` and the command line have it.
        summary: what becomes of the connections, in a few words.
        learns_connections: whether steps move strengths and mask, which the machine must have then.
    """

    name: str
    summary: str
    learns_connections: bool


NCG = Rule("ncg", "connections are learned", learns_connections=True)
STATIC = Rule("static", "they stay", learns_connections=False)
RULES = {rule.name: rule for rule in (NCG, STATIC)}
