"""Training runs that are killed: started by test_resume.py as ``killed_run.py FOLDER``.

Prints one JSON object: digests of the run never stopped ("straight") and of runs killed at certain
points ("between", "written", "renamed") or at random times ("random"), then resumed; and how many
lives were killed. Forks, so that torch is imported once; nothing runs in the parent but that.
"""

import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch

from ncg_fast.model.rbm import RBM
from ncg_fast.training.checkpoint import CHECKPOINT_NAME, load_checkpoint
from ncg_fast.training.fit import fit

EPOCHS = 24


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def train(folder, callback=lambda rbm, record: None):
    torch.set_num_threads(1)
    uniforms = np.random.default_rng(0).random((13, 7))
    fit(
        RBM(7, 5, density=0.6, seed=3),
        torch.from_numpy((uniforms < 0.4).astype(np.uint8)),
        epochs=EPOCHS,
        batch_size=5,
        lr=0.3,
        lr_strength=1.0,
        persistent=True,
        momentum=0.5,
        callbacks=[callback],
        progress=False,
        checkpoint_dir=folder,
        resume=True,
    )


def digest(folder):
    rbm, state = load_checkpoint(folder / CHECKPOINT_NAME)
    total = hashlib.sha256()
    for name, value in sorted({**rbm.state_dict(), **state.tensors}.items()):
        total.update(name.encode() + value.numpy().tobytes())
    history = [{**record, "seconds": None} for record in state.history]
    total.update(json.dumps(history).encode())
    assert len(history) == EPOCHS
    assert os.listdir(folder) == [CHECKPOINT_NAME], os.listdir(folder)
    return total.hexdigest()


def live(life, *args):
    """Runs life in a fork; returns its process."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            life(*args)
            status = 0
        finally:
            os._exit(status)
    return process


def was_killed(process):
    status = os.waitpid(process, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def killed_at(folder, point, n):
    """Trains and dies at the n-th passage of a point of writing a checkpoint."""
    passages, fsync, replace = [0], os.fsync, os.replace

    def pass_by(here):
        passages[0] += here == point
        if here == point and passages[0] == n:
            die()

    def dying_fsync(descriptor):
        pass_by("between")  # in the file, not down to the disk
        fsync(descriptor)

    def dying_replace(source, target):
        pass_by("written")
        replace(source, target)
        pass_by("renamed")

    os.fsync, os.replace = dying_fsync, dying_replace
    train(folder)


def with_tokens(folder, tokens):
    """Trains one epoch for each byte in the pipe, then waits."""
    train(folder, lambda rbm, record: os.read(tokens, 1) == b"s")


def killed_at_random(folder):
    draw, n_killed = random.Random(0), 0
    while n_killed < 8:  # 24 epochs, at most two a life
        source, sink = os.pipe()
        process = live(with_tokens, folder, source)
        os.write(sink, b"." * draw.randrange(1, 3))
        time.sleep(draw.uniform(0.01, 0.06))
        os.kill(process, signal.SIGKILL)
        n_killed += was_killed(process)
        os.close(source)
        os.close(sink)
    return n_killed


def main(root):
    digests, n_killed = {}, {}
    assert not was_killed(live(train, root / "straight"))
    for point in ("between", "written", "renamed"):
        n_killed[point] = sum(
            was_killed(live(killed_at, root / point, point, n)) for n in (1, 2, 5)
        )
        assert not was_killed(live(train, root / point))
    n_killed["random"] = killed_at_random(root / "random")
    assert not was_killed(live(train, root / "random"))
    for folder in sorted(root.iterdir()):
        digests[folder.name] = digest(folder)
    print(json.dumps({"digests": digests, "n_killed": n_killed}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
