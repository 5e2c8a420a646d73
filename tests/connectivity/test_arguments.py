"""A message for each wrong argument of masks, strengths and topology measures."""

import math

import pytest
from masks import mask_of

from ncg_fast.connectivity import (
    convolution_mask,
    degrees,
    dense_mask,
    density,
    initial_mask,
    initial_strength,
    line_mask,
    protect_labels,
    random_mask,
    spiral_mask,
    topology_distance,
)

MASK = mask_of("01", "10")
FAULTS = [
    (dense_mask, (0, 2), {}, "dense_mask: n_hidden must be at least 1, got 0. Pass 1 or more."),
    (
        dense_mask,
        (2, 2.0),
        {},
        "dense_mask: n_visible must be an int, got float 2.0. Use int(n_visible).",
    ),
    (
        random_mask,
        (2, -1, 0.5),
        {},
        "random_mask: n_visible must be at least 1, got -1. Pass 1 or more.",
    ),
    (
        random_mask,
        (2, 2, 1.5),
        {},
        "random_mask: density must be in [0, 1], got 1.5. Pass a value from 0 to 1.",
    ),
    (
        random_mask,
        (2, 2, math.nan),
        {},
        "random_mask: density must be finite, got nan. Pass a finite number.",
    ),
    (
        random_mask,
        (2, 2, 0.5),
        {"seed": -1},
        "random_mask: seed must be at least 0, got -1. Pass 0 or more.",
    ),
    (
        line_mask,
        (2, 4, 0),
        {},
        "line_mask: n_connections must be in [1, 4], got 0. Pass a value from 1 to 4.",
    ),
    (
        line_mask,
        (2, 4, 5),
        {},
        "line_mask: n_connections must be in [1, 4], got 5. Pass a value from 1 to 4.",
    ),
    (line_mask, (0, 4, 2), {}, "line_mask: n_hidden must be at least 1, got 0. Pass 1 or more."),
    (
        spiral_mask,
        (8, 8, 2),
        {},
        "spiral_mask: n_visible must be a square, got 8. Use line_mask for other sizes.",
    ),
    (
        spiral_mask,
        (4, 9, 2),
        {},
        "spiral_mask: n_hidden must be n_visible = 9, got 4. Use line_mask for other sizes.",
    ),
    (
        spiral_mask,
        (9, 9, 10),
        {},
        "spiral_mask: n_connections must be in [1, 9], got 10. Pass a value from 1 to 9.",
    ),
    (
        convolution_mask,
        ((28, 28), 500),
        {},
        "convolution_mask: n_hidden must be m^2 with 1 <= m <= 28, got 500. Use line_mask.",
    ),
    (
        convolution_mask,
        ((28, 3), 16),
        {},
        "convolution_mask: n_hidden must be m^2 with 1 <= m <= 3, got 16. Use line_mask.",
    ),
    (
        convolution_mask,
        (784, 4),
        {},
        "convolution_mask: image_shape must be (rows, cols), got 784. Pass both.",
    ),
    (
        convolution_mask,
        ((0, 28), 4),
        {},
        "convolution_mask: image_shape must be at least 1, got 0. Pass 1 or more.",
    ),
    (
        initial_mask,
        ("star", 2, 2),
        {},
        "initial_mask: pattern must be one of 'dense', 'random', 'line', 'spiral', 'convolution',"
        " got 'star'. Choose one of these.",
    ),
    (
        initial_mask,
        ("line", 2, 2),
        {},
        'initial_mask: n_connections must be given for "line", got None. Pass n_connections=.',
    ),
    (
        initial_mask,
        ("convolution", 4, 9),
        {},
        'initial_mask: image_shape must be given for "convolution", got None. Pass image_shape=.',
    ),
    (
        initial_mask,
        ("convolution", 4, 10),
        {"image_shape": (3, 3)},
        "initial_mask: n_visible must be rows * cols = 9, got 10."
        " Append label columns to the mask of the pixels.",
    ),
    (
        initial_strength,
        (MASK.float(),),
        {},
        "initial_strength: mask must be a bool tensor (n_hidden, n_visible), got torch.float32"
        " (2, 2). Pass one row per hidden unit, as torch.bool.",
    ),
    (
        initial_strength,
        (MASK,),
        {"seed": 2**63},
        f"initial_strength: seed must be at most {2**63 - 1}, got {2**63}. "
        f"Pass {2**63 - 1} or less.",
    ),
    (
        protect_labels,
        (MASK, 3),
        {},
        "protect_labels: n_labels must be in [0, 2], got 3. Pass a value from 0 to 2.",
    ),
    (
        density,
        (MASK, 2),
        {},
        "density: n_labels must be in [0, 1], got 2. Pass a value from 0 to 1.",
    ),
    (
        degrees,
        (MASK[0],),
        {},
        "degrees: mask must be a bool tensor (n_hidden, n_visible), got torch.bool (2,)."
        " Pass one row per hidden unit, as torch.bool.",
    ),
    (
        degrees,
        (MASK.numpy(),),
        {},
        "degrees: mask must be a bool tensor (n_hidden, n_visible), got ndarray."
        " Pass one row per hidden unit, as torch.bool.",
    ),
    (
        density,
        (MASK[:0],),
        {},
        "density: mask must be a bool tensor (n_hidden, n_visible), got torch.bool (0, 2)."
        " Pass one row per hidden unit, as torch.bool.",
    ),
    (
        topology_distance,
        (MASK, MASK.int()),
        {},
        "topology_distance: mask_b must be a bool tensor (n_hidden, n_visible), got torch.int32"
        " (2, 2). Pass one row per hidden unit, as torch.bool.",
    ),
    (
        topology_distance,
        (MASK, MASK[:1]),
        {},
        "topology_distance: mask_b must have the shape of mask_a, (2, 2), got (1, 2)."
        " Compare masks of one size.",
    ),
    (
        topology_distance,
        (MASK, MASK),
        {"n_labels": -1},
        "topology_distance: n_labels must be in [0, 1], got -1. Pass a value from 0 to 1.",
    ),
]


@pytest.mark.parametrize(("function", "arguments", "options", "message"), FAULTS)
def test_faults_are_named(function, arguments, options, message):
    with pytest.raises(ValueError, match=r"\A\w+: ") as caught:
        function(*arguments, **options)
    assert str(caught.value) == message
