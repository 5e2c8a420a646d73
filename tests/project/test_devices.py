"""Machines, data and commands on devices, as far as that shows without a GPU."""

from __future__ import annotations

import re

import pytest
import torch
from command_line import fails
from torch._subclasses.fake_tensor import FakeTensorMode

from ncg_fast import RBM, connectivity
from ncg_fast.cli import main


def test_device_has_a_name_that_serves(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("mps", "tpu", "cuda:x"):
        message = f"ncg-fast train: --device must be cpu, cuda or cuda:N, got {name}. Leave it out"
        fails(capsys, ["train", "--device", name], 2, re.escape(message) + ".*")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("command", [["train"], ["evaluate", "x"], ["sample", "x"]])
def test_device_must_be_there(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    message = rf"ncg-fast {command[0]}: --device must be .* of this computer, got cuda: .*\. L.*"
    fails(capsys, [*command, "--device", "cuda"], 1, message)


def test_device_of_a_run_is_free_to_change(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["train", "--data", "bars-and-stripes-2", "--hidden", "3", "--epochs", "1", "--quiet"]
    args += ["--no-figures", "--output", str(tmp_path / "run"), "--batch-size", "4"]
    assert main([*args, "--device", "cpu"]) == 0
    assert "device" not in (tmp_path / "run" / "config.json").read_text()
    assert main(["sample", str(tmp_path / "run"), "--device", "cpu", "--steps", "1"]) == 0


def test_machines_begin_on_the_cpu() -> None:
    """The mask is a copy there, as the numbers that are drawn."""
    mask = connectivity.random_mask(4, 6, 0.5)
    rbm = RBM(6, 4, mask=mask, learn_connections=True)
    mask.zero_()
    assert rbm.mask.any() and rbm.connection_strength.device.type == "cpu"


def test_results_are_on_the_device_of_the_tensors() -> None:
    with FakeTensorMode():
        ops, cuda = torch.ops.ncg_fast, {"device": "cuda"}
        rows = torch.zeros(70, 9, dtype=torch.uint8, **cuda)
        weight, mask = torch.zeros(5, 9, **cuda), torch.zeros(5, 9, dtype=torch.bool, **cuda)
        b, c = torch.zeros(9, **cuda), torch.zeros(5, **cuda)
        packed, digits = ops.pack_states(rows), ops.pack_weights(weight, mask, 2, 1, None)
        model, draw = (*digits, b, c, 1), (0, 0, 0, None, 0)
        found = [packed, *digits, ops.unpack_states(packed, 70)]
        found.append(ops.mean(packed, 70, digits[0], c, 1))
        found.append(ops.sample(packed, 70, digits[0], c, 1, *draw, 0))
        found += ops.gibbs_steps(packed, 70, *model, 2, *draw, None)
        found.append(ops.free_energy(packed, 70, digits[0], c, 1, b))
        betas = torch.zeros(3, dtype=torch.float64, **cuda)
        found += ops.anneal(packed, 70, *model, b, betas, *draw)
        levels = torch.zeros(70, 5, dtype=torch.int32, **cuda)
        found += ops.connection_gradient(levels, packed, levels, packed, weight, mask)
        batches = torch.zeros(2, 9, 1, dtype=torch.int64, **cuda)
        parameters = weight, None, mask, b, c, *digits, None, None, None
        none = None, None, None
        batch, rates = (batches, None, 35, 35, 1), (0.1, 0.0, 0.0, 0.0)
        found += [ops.train_steps_(*parameters, *batch, *rates, *none, *draw, 1, 0, 0.0, 1.0)]
        assert {tensor.device.type for tensor in found} == {"cuda"}
