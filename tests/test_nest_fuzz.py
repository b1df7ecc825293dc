"""Random fused kernels on random layouts against the numpy reference, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.nest_helper import Graph, check
from tests.test_nest import TIERS, rand


def random_view(rng: Any, shape: tuple[int, ...]) -> Any:
    """An array of `shape`, or one that broadcasts to it: permuted, sliced, reversed, expanded."""
    kept = [n if rng.random() < 0.8 else 1 for n in shape]
    order = rng.permutation(len(shape)) if rng.random() < 0.5 else np.arange(len(shape))
    steps = [int(rng.choice([1, 1, 1, 2, -1])) for _ in shape]
    base = rand([kept[a] * abs(steps[a]) for a in order], "f32", int(rng.integers(1 << 30)))
    return base.transpose(np.argsort(order))[tuple(slice(None, None, s) for s in steps)]


def random_graph(rng: Any) -> tuple[Graph, Any]:
    rank = int(rng.integers(1, 5))
    sizes = [1, 2, 3, 7, 16, 17, 40] if rank > 2 else [1, 3, 16, 33, 200, 5000]
    shape = tuple(int(n) for n in rng.choice(sizes, rank))
    if np.prod(shape) > 60000:
        shape = (*shape[:-1], 3)
    g = Graph(shape)
    dims = tuple(d for d in range(rank) if rng.random() < 0.5)
    values = [g.input(np.broadcast_to(random_view(rng, shape), shape), "f32") for _ in range(rng.integers(1, 4))]
    values.append(g.input(float(rng.standard_normal()), "f32", scalar=True))
    reductions = 0
    for _ in range(rng.integers(1, 9)):
        pick = [values[k] for k in rng.integers(0, len(values), 3)]
        pick[0] = values[0] if pick[0] == values[-1] else pick[0]
        choice = rng.integers(0, 8)
        if choice < 2 and dims and reductions < 3:
            kind = str(rng.choice(["sum", "max", "min", "prod"]))
            values.append(g.step(kind, pick[0], dtype="f32", dims=dims))
            reductions += 1
        elif choice == 2:
            values.append(g.step("iota", dtype="f32", dim=int(rng.integers(rank))))
        elif choice == 3:
            values.append(g.step("where", g.step("lt", pick[0], pick[1], dtype="i1"), pick[2], pick[0], dtype="f32"))
        elif choice == 4:
            values.append(g.step("exp", pick[0], dtype="f32"))
        else:
            values.append(g.step(str(rng.choice(["add", "sub", "mul"])), *pick[:2], dtype="f32"))
    return g, [values[-1], *(values[k] for k in rng.integers(0, len(values), 2))]


def some_strides(rng: Any, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    if rng.random() < 0.6:
        return None
    strides, step = [0] * len(shape), 1
    for axis in rng.permutation(len(shape)):
        strides[axis] = step
        step *= shape[axis]
    return tuple(strides)


@pytest.mark.parametrize("seed", range(120))
def test_random_kernels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    g, outputs = random_graph(rng)
    outputs = [v for v in outputs if not (v[0] == "in" and g.operands[v[1]].is_scalar)]
    if not outputs:
        return
    bare = g.spec(*((v, None) for v in outputs))
    spec = g.spec(*((v, some_strides(rng, bare.shape_of(number))) for v, (number, _) in zip(outputs, bare.outputs, strict=True)))
    with np.errstate(all="ignore"):
        check(spec, g.arrays, TIERS if seed < 20 else ("avx512",))
