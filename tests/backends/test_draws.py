"""Random numbers: published Philox vectors, places of draws, uniformity, Bernoulli draws."""

from __future__ import annotations

import bisect
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import textbook
import torch

from ncg_fast.backends import numerics


@pytest.mark.parametrize(
    ("counter", "seed", "words"),
    [
        ((0,) * 4, 0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((2**32 - 1,) * 4, 2**64 - 1, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            0x299F31D0A4093822,
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_gives_the_published_vectors(counter, seed, words):
    expected = [int(word, 16) for word in words.split()]
    tensors = tuple(torch.tensor([word]) for word in counter)
    assert [int(word) for word in numerics.philox(tensors, seed)] == expected
    assert list(textbook.philox(counter, seed)) == expected


STEPS = [0, 1, 255, 2**31, 2**32 - 1, 2**32, 2**40 + 7, 2**55]
STREAMS = [numerics.HIDDEN_STREAM, numerics.VISIBLE_STREAM]


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**63 - 1])
@pytest.mark.parametrize("chain_offset", [0, 63, 2**32 - 3])
def test_draws_lie_where_the_textbook_says(seed, chain_offset):
    for step, stream in itertools.product(STEPS, STREAMS):
        first, more = numerics.draws(3, 67, seed, chain_offset, step, stream)
        for chain, unit in itertools.product(range(3), (0, 1, 2, 7, 8, 31, 32, 66)):
            expected = textbook.draw(seed, chain_offset + chain, unit, step, stream)
            assert (int(first[chain, unit]), int(more[chain, unit])) == expected


def test_no_two_draws_share_bits():
    chains, units = [0, 1, 63, 64, 2**32 - 1], range(131)
    taken = [
        place
        for arguments in itertools.product(chains, units, STEPS, STREAMS)
        for place in textbook.places(*arguments)
    ]
    assert len(set(taken)) == len(taken)
    by_counter = {}
    for place in taken:  # a block serves first bits or further bits, never both
        by_counter.setdefault(place.counter, set()).add(place.low_bit == 8)
    assert all(len(kinds) == 1 for kinds in by_counter.values())


def test_a_shard_draws_what_the_whole_draws():
    whole = numerics.draws(130, 7, 3, 0, 5, 2)
    shard = numerics.draws(66, 7, 3, 64, 5, 2)
    assert all(torch.equal(w[64:], s) for w, s in zip(whole, shard, strict=True))
    fewer = numerics.draws(130, 5, 3, 0, 5, 2)
    assert all(torch.equal(w[:, :5], f) for w, f in zip(whole, fewer, strict=True))


def chi_square(values, n_bins):
    """Standardised: about N(0, 1) where the values are uniform."""
    counts = torch.bincount(values.flatten(), minlength=n_bins).double()
    expected = values.numel() / n_bins
    statistic = ((counts - expected) ** 2 / expected).sum()
    return float((statistic - (n_bins - 1)) / math.sqrt(2 * (n_bins - 1)))


def test_draws_are_uniform_and_streams_independent():
    n_chains, n_units = 2000, 64
    hidden, more = numerics.draws(n_chains, n_units, 0, 0, 0, numerics.HIDDEN_STREAM)
    visible, _ = numerics.draws(n_chains, n_units, 0, 0, 0, numerics.VISIBLE_STREAM)
    later, _ = numerics.draws(n_chains, n_units, 0, 0, 1, numerics.HIDDEN_STREAM)
    other, _ = numerics.draws(n_chains, n_units, 1, 0, 0, numerics.HIDDEN_STREAM)
    single = [hidden, visible, more >> 8, hidden & 0xFF, more & 0xFFFF]
    singles = [chi_square(bits & 0xFF, 256) for bits in single]
    singles += [chi_square(bits >> 8, 256) for bits in (hidden, visible, more >> 8)]
    neighbours = hidden[:, 1:], hidden[1:], visible, later, other, more >> 8
    pairs = []
    for second in neighbours:
        bits = hidden[: second.shape[0], : second.shape[1]] >> 12 << 4
        pairs.append(chi_square(bits | (second >> 12), 256))
    assert max(map(abs, singles + pairs)) < 4.5
    assert hidden.min() >= 0 and hidden.max() < 2**16
    assert more.min() >= 0 and more.max() < 2**24


def test_a_draw_is_the_40_bit_comparison():
    """16 bits decide where all further bits agree, and the whole is [u s < 1] to one rounding."""
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.uniform(-25, 25, 20_000)).float()
    s = numerics.one_plus_exp_neg(x)
    near = torch.floor(65536 / s.double()) + torch.from_numpy(rng.integers(-1, 2, len(x)))
    first = near.clamp(0, 65535).to(torch.int64)
    more = torch.from_numpy(rng.integers(0, 2**24, len(x)))
    on = numerics.bernoulli(x, first, more)
    lowest = numerics.bernoulli(x, first, torch.zeros_like(more))
    highest = numerics.bernoulli(x, first, torch.full_like(more, 2**24 - 1))
    assert (lowest >= on).all() and (on >= highest).all()
    assert (lowest != highest).any()  # some are left open by the first 16 bits

    # In exact integers: on = [u < 1 / s], but where u s is within a rounding (2**-24) of 1.
    draws = (first << 24 | more).tolist()
    for result, u, scale in zip(on.tolist(), draws, s.tolist(), strict=True):
        product = Fraction(u, 2**40) * Fraction(scale)
        near_one = abs(product - 1) <= Fraction(1, 2**23)
        assert near_one or result == (product < 1)


@pytest.mark.parametrize("logit", [-15.0, -3.0, 0.0, 0.7, 12.0])
def test_probability_of_a_draw_is_the_sigmoid(logit):
    """Counts the 40-bit draws that are on, by bisection where the first 16 bits leave it open."""
    first = torch.arange(65536)
    x = torch.full((65536,), logit)
    surely = numerics.bernoulli(x, first, torch.full_like(first, 2**24 - 1)).bool()
    maybe = numerics.bernoulli(x, first, torch.zeros_like(first)).bool() & ~surely
    n_on = int(surely.sum()) << 24
    for u in first[maybe].tolist():

        def on(more, u=u):
            arguments = torch.tensor([logit]), torch.tensor([u]), torch.tensor([more])
            return bool(numerics.bernoulli(*arguments))

        n_on += bisect.bisect_left(range(2**24), True, key=lambda more: not on(more))
    exact = 1 / (1 + math.exp(-logit))
    assert abs(n_on / 2**40 - exact) < 2e-7 * max(exact, 1e-5)
