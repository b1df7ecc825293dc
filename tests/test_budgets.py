"""What must not grow: modules that an import loads, IR that a settled loop builds. Counts, never times (times are in bench/)."""

from __future__ import annotations

import subprocess
import sys

import frankentorch as torch
from frankentorch.runtime import objects
from frankentorch.runtime.program import STATS

HEAVY = ("torch", "xdsl", "llvmlite", "scipy", "click", "rich")


def test_import_loads_nothing_heavy() -> None:
    code = f"import sys, frankentorch; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_warm_process_prints_a_tensor_without_the_compiler(tmp_path) -> None:
    code = ("import sys, os; import frankentorch as torch; print(torch.ones(3) * 2 + 1);"
            "print('xdsl' in sys.modules, 'torch' in sys.modules)")
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"FT_CACHE_DIR": str(tmp_path), "PATH": ""})
            for _ in range(2)]
    assert [r.stdout.splitlines()[0] for r in runs] == ["tensor([3., 3., 3.])"] * 2
    assert [r.stdout.splitlines()[1] for r in runs] == ["True False", "False False"]


def test_a_decode_loop_settles() -> None:
    """A cache that grows to 512 tokens: no module is built after the third step; kernels only where a template changes its form."""
    torch.manual_seed(0)
    width, heads = 32, 2
    qkv, out = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
    keys = values = torch.zeros(1, heads, 0, width // heads)
    built = compiled = 0
    with torch.no_grad():
        for step in range(512):
            q, k, v = (t.view(1, 1, heads, width // heads).transpose(1, 2) for t in qkv(torch.randn(1, 1, width)).split(width, -1))
            keys, values = torch.cat([keys, k], 2), torch.cat([values, v], 2)
            weights = torch.nn.functional.softmax(q @ keys.transpose(-2, -1) / 4.0, -1)
            y = out((weights @ values).transpose(1, 2).reshape(1, 1, width))
            assert y.sum().item() == y.sum().item()
            if step == 2:
                built, compiled = STATS["builds"], objects.stats.compiled + objects.stats.loaded
    assert STATS["builds"] == built
    assert objects.stats.compiled + objects.stats.loaded - compiled <= 6


def test_adam_settles() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    x = torch.randn(16, 4)
    built = 0
    for step in range(1000):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
        if step == 2:
            built = STATS["builds"] + STATS["resized"] + STATS["plans_loaded"]
    assert STATS["builds"] + STATS["resized"] + STATS["plans_loaded"] == built
