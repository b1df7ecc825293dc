"""What Python costs: recording an op, calling a program, and whole small training steps, beside torch (and JAX where it is).

Run with ``python bench/overhead.py``. Enters: nothing. Leaves: a table of medians and ratios; every row's contestants are run in turn in one process, for
the machine's speed drifts. Figures of one row compare with each other, and with nothing else.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any


def interleaved(contestants: dict[str, Callable[[], Any]], rounds: int, batch: int = 1) -> dict[str, float]:
    """Median microseconds a call, each contestant once a round."""
    for fn in contestants.values():
        for _ in range(5):
            fn()
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, fn in contestants.items():
            began = time.perf_counter()
            for _ in range(batch):
                fn()
            times[name].append((time.perf_counter() - began) / batch)
    return {name: statistics.median(t) * 1e6 for name, t in times.items()}


def show(title: str, figures: dict[str, float], base: str) -> None:
    print(f"\n{title}")
    for name, us in figures.items():
        ratio = "" if name == base or base not in figures else f"   {base} / this = {figures[base] / us:.2f}"
        print(f"  {name:28} {us:10.2f} us{ratio}")


# Recording ---------------------------------------------------------------------------------------------------------------
def recording(ft: Any, torch: Any) -> None:
    """Ops recorded and dropped without being run, against torch running them on 16 elements."""
    ops = 64

    def chain(x: Any, y: Any) -> Any:
        for _ in range(ops // 4):
            x = ((x * y) + y).tanh() - 1.5
        return x

    fx, fy, tx, ty = ft.ones(16), ft.ones(16), torch.ones(16), torch.ones(16)
    fx.tolist(), fy.tolist()
    fg = ft.ones(16, requires_grad=True)
    tg = torch.ones(16, requires_grad=True)

    def dropped(x: Any) -> None:
        from frankentorch.ops import record

        chain(x, fy)
        trace = record.state.trace
        record.state.trace = record.new_window()
        trace.done = True  # type: ignore[attr-defined]
        for v in (fx, fy, fg):  # leaves of the dropped window belong to none
            v._value.trace = None

    figures = interleaved({"frankentorch, an op": lambda: dropped(fx), "torch eager, an op": lambda: chain(tx, ty),
                           "frankentorch, on the tape": lambda: dropped(fg), "torch eager, on the tape": lambda: chain(tg, ty)}, 60)
    show("record an op (torch: run it)", {k: v / ops for k, v in figures.items()}, "torch eager, an op")


def calls(ft: Any, torch: Any) -> None:
    """A compiled function of two ops on 16 elements."""
    fx, tx = ft.ones(16), torch.ones(16)

    def fn(x: Any) -> Any:
        return (x * 2).tanh()

    compiled = ft.compile(fn)
    figures = interleaved({"compiled": lambda: compiled(fx), "recorded": lambda: fn(fx).tolist(), "torch eager": lambda: fn(tx)}, 400)
    show(f"call a program ({compiled.report().path})", figures, "torch eager")


# Training steps --------------------------------------------------------------------------------------------------------------
def make_step(torch: Any, sizes: tuple[int, ...], batch: int, adam: bool) -> Callable[[], Any]:
    nn, F = torch.nn, torch.nn.functional
    torch.manual_seed(0)
    layers: list[Any] = []
    for a, b in zip(sizes, sizes[1:]):
        layers += [nn.Linear(a, b), nn.Tanh()]
    model = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(model.parameters()) if adam else torch.optim.SGD(model.parameters(), lr=0.05)
    x, y = torch.randn(batch, sizes[0]), torch.randn(batch, sizes[-1])

    def step() -> Any:
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def jax_step(sizes: tuple[int, ...], batch: int) -> Callable[[], Any] | None:
    """The same step with SGD under jax.jit; None where there is no JAX."""
    try:
        import jax
        import jax.numpy as jnp
    except ImportError:
        return None
    import numpy as np

    rng = np.random.default_rng(0)
    params = [(jnp.asarray(rng.normal(size=(a, b)), jnp.float32), jnp.zeros(b)) for a, b in zip(sizes, sizes[1:])]
    x, y = (jnp.asarray(rng.normal(size=(batch, n)), jnp.float32) for n in (sizes[0], sizes[-1]))

    def loss_of(params: Any) -> Any:
        h = x
        for i, (w, b) in enumerate(params):
            h = h @ w + b
            h = jnp.tanh(h) if i + 1 < len(params) else h
        return ((h - y) ** 2).mean()

    @jax.jit
    def update(params: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_of)(params)
        return jax.tree_util.tree_map(lambda p, g: p - 0.05 * g, params, grads), loss

    holder = [params]

    def step() -> Any:
        holder[0], loss = update(holder[0])
        return loss.block_until_ready()

    return step


def steps(ft: Any, torch: Any, sizes: tuple[int, ...], batch: int, adam: bool, rounds: int) -> None:
    compiled = ft.compile(make_step(ft, sizes, batch, adam))
    contestants = {"compiled": compiled, "eager": make_step(ft, sizes, batch, adam), "torch eager": make_step(torch, sizes, batch, adam)}
    jitted = None if adam else jax_step(sizes, batch)
    if jitted is not None:
        contestants["jax.jit"] = jitted
    figures = interleaved(contestants, rounds)
    title = f"training step {'-'.join(map(str, sizes))}, batch {batch}, {'Adam' if adam else 'SGD'}"
    show(f"{title} (compiled is on the {compiled.report().path} path)", figures, "torch eager")


def builds(ft: Any) -> None:
    """A thousand steps of Adam: what they build after the third."""
    from frankentorch.runtime.program import STATS

    for name, wrap in (("eager", lambda f: f), ("compiled", ft.compile)):
        step = wrap(make_step(ft, (8, 16, 4), 16, True))
        for _ in range(3):
            step()
        before = STATS["builds"], STATS["plans_loaded"]
        for _ in range(1000):
            step()
        step().tolist()
        print(f"\n1,000 {name} steps of Adam after the third: {STATS['builds'] - before[0]} programs built, {STATS['plans_loaded'] - before[1]} loaded")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    import torch

    import frankentorch as ft

    torch.set_num_threads(ft.get_num_threads())
    recording(ft, torch)
    calls(ft, torch)
    steps(ft, torch, (2, 16, 1), 16, False, rounds)
    steps(ft, torch, (784, 256, 256, 10), 64, True, max(20, rounds // 5))
    builds(ft)


if __name__ == "__main__":
    main()
