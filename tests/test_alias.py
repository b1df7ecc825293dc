"""The name ``torch`` for FrankenTorch: scoped, reversible, and the same module objects."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

import frankentorch
import frankentorch.as_torch
from frankentorch.interop import alias


def ask(code: str) -> dict[str, object]:
    """What a fresh process prints as JSON."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_imports_give_the_same_objects() -> None:
    with frankentorch.as_torch() as torch:
        import torch as plain
        import torch.nn.functional as F
        import torch.utils.data
        from torch import nn, optim
        from torch.optim.lr_scheduler import StepLR

        assert torch is plain is frankentorch
        assert F is frankentorch.nn.functional and nn is frankentorch.nn and optim is frankentorch.optim
        assert torch.utils.data.DataLoader is frankentorch.utils.data.DataLoader
        assert StepLR is frankentorch.optim.lr_scheduler.StepLR
        assert sys.modules["torch.nn"] is sys.modules["frankentorch.nn"]
        assert plain.ones(2).sum().item() == 2.0


def test_specs_and_metadata_answer() -> None:
    with frankentorch.as_torch():
        assert importlib.util.find_spec("torch") is not None
        spec = importlib.util.find_spec("torch.nn.functional")
        assert spec is not None and "frankentorch" in str(spec.origin)
        assert importlib.metadata.version("torch") == frankentorch.__version__
        assert importlib.metadata.version("numpy")
        importlib.import_module("torch.nn.init")
        assert frankentorch.nn.init.__spec__.name == "frankentorch.nn.init", "a module keeps its own spec"


@pytest.mark.parametrize("name", ["torch.lower", "torch.ops", "torch.tensor", "torch.cli", "torch.nowhere", "torch.interop"])
def test_our_own_rooms_are_not_modules_of_torch(name: str) -> None:
    with frankentorch.as_torch(), pytest.raises(ModuleNotFoundError, match=name):
        importlib.import_module(name)


def test_everything_is_undone() -> None:
    names = {n for n in sys.modules if n.split(".")[0] == "torch"}
    path = list(sys.meta_path), list(sys.path)
    with frankentorch.as_torch(), frankentorch.as_torch():
        import torch.nn  # noqa: F401

        assert alias.installed()
    assert not alias.installed()
    assert {n for n in sys.modules if n.split(".")[0] == "torch"} == names
    assert (sys.meta_path, sys.path) == path
    with pytest.raises(RuntimeError, match="nothing was installed"):
        alias.uninstall()


def test_an_error_inside_undoes_it_too() -> None:
    with pytest.raises(ZeroDivisionError), frankentorch.as_torch():
        1 / 0  # noqa: B018
    assert not alias.installed()


def test_a_torch_that_was_there_is_set_aside_and_comes_back() -> None:
    answer = ask("""
import json, sys, types
real = types.ModuleType("torch"); real.nn = types.ModuleType("torch.nn")
sys.modules["torch"], sys.modules["torch.nn"] = real, real.nn
import frankentorch.as_torch
frankentorch.as_torch.install()
import torch, torch.nn
inside = torch.__name__, torch.nn.__name__
frankentorch.as_torch.uninstall()
import torch, torch.nn
print(json.dumps({"inside": inside, "back": torch is real and sys.modules["torch.nn"] is real.nn}))
""")
    assert answer == {"inside": ["frankentorch", "frankentorch.nn"], "back": True}


def test_spawned_processes_have_the_name(tmp_path: Path) -> None:
    script = tmp_path / "spawns.py"
    script.write_text("""
import multiprocessing
import torch.nn.functional as F
import torch

def work(x):
    return torch.__name__, F.relu(torch.tensor([-1.0, x])).tolist()

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(work, (3.0,)))
""")
    done = subprocess.run([sys.executable, "-m", "frankentorch", "run", str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "('frankentorch', [0.0, 3.0])\n", done.stderr


def test_the_alias_imports_neither_torch_nor_the_compiler() -> None:
    answer = ask("""
import json, sys
import frankentorch.as_torch
with frankentorch.as_torch():
    import torch.nn.functional
    heavy = [n for n in ("torch._C._distributed_c10d", "xdsl", "llvmlite", "click", "rich") if n in sys.modules]
print(json.dumps(heavy))
""")
    assert answer == []
