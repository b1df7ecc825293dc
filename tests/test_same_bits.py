"""One answer, to the last bit: the examples trained under every setting, rows alone and in a batch, and by the reference interpreter."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import frankentorch as torch
from frankentorch.runtime import jit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))
bits = importlib.import_module("bits")
sys.path.insert(0, str(bits.EXAMPLES))


@pytest.fixture(scope="module")
def plain() -> dict[str, str]:
    return dict(bits.run(bits.PLAIN, bits.STEPS))


@pytest.mark.parametrize("setting", [s for s in bits.SETTINGS if s.tested], ids=lambda s: s.name)
def test_training_gives_the_same_bits(setting: Any, plain: dict[str, str]) -> None:
    """Losses, parameters, buffers and the generator after 20 steps of each example."""
    if setting.tier and setting.tier not in jit.host_tiers():
        pytest.skip(f"this host has no {setting.tier}")
    assert bits.run(setting, bits.STEPS) == plain


def test_the_digest_sees_one_step_more(plain: dict[str, str]) -> None:
    """The comparison can fail: another number of steps gives other digests."""
    more = bits.run(bits.PLAIN, {name: n + 1 for name, n in bits.STEPS.items()})
    assert all(more[name] != plain[name] for name in plain)


def test_the_interpreter_gives_the_same_bits() -> None:
    assert bits.run(bits.INTERPRETED, bits.INTERPRETED_STEPS) == bits.run(bits.PLAIN, bits.INTERPRETED_STEPS)


@pytest.mark.parametrize("name", sorted(bits.STEPS))
@pytest.mark.parametrize("threads", [1, 3])
def test_a_row_alone_equals_its_batch(name: str, threads: int) -> None:
    """Forward, in eval mode, after two steps of training: 17 rows at once, one at a time, and in pieces of five."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        model, optimizer, batch = bits.batches(name, importlib.import_module(name))
        for i in range(2):
            importlib.import_module(name).train_step(model, optimizer, *batch(i))
        x, _ = batch(2)
        x = torch.cat([x, x, x])[:17]
        model.eval()
        with torch.no_grad():
            whole = model(x).numpy().copy()
            alone = [model(x[i:i + 1]).numpy().copy() for i in range(17)]
            pieces = [model(x[i:i + 5]).numpy().copy() for i in range(0, 17, 5)]
    finally:
        torch.set_num_threads(before)
    for got in (alone, pieces):
        np.testing.assert_array_equal(np.concatenate(got).view(np.uint32), whole.view(np.uint32))
