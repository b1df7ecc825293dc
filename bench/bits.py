"""The same bits, however a program runs: the examples trained under every setting, as a table of digests.

Enters: nothing (``python bench/bits.py``), or ``--worker`` with a JSON object {example: steps} and options. Leaves: one row a setting; exit status 1 where
two digests of an example differ. A setting is a process of its own: environment variables, a number of threads, and whether the train step is compiled.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
STEPS = {"mlp": 20, "digits_cnn": 20, "char_gpt": 20}
SMALL = {"context": 32, "width": 48, "depth": 2}


@dataclass(frozen=True)
class Setting:
    """One way to run. `tier` is the CPU tier that the host must have; the tests leave those out that pairs of others cover."""

    name: str
    env: dict[str, str] = field(default_factory=dict)
    threads: int = 2
    compiled: bool = False
    tested: bool = True

    @property
    def tier(self) -> str:
        return self.env.get("FT_CPU", "")


PLAIN = Setting("as it comes")
SETTINGS = (
    Setting("1 thread", threads=1),
    Setting("3 threads", threads=3, tested=False),
    Setting("one op at a time", {"FT_EAGER": "1"}, tested=False),
    Setting("one op at a time, 3 threads, AVX2", {"FT_EAGER": "1", "FT_CPU": "avx2"}, threads=3),
    Setting("cut anywhere", {"FT_CUT": "random:1"}, tested=False),
    Setting("cut anywhere, 1 thread, AVX-512", {"FT_CUT": "random:2", "FT_CPU": "avx512"}, threads=1),
    Setting("compiled", compiled=True),
    Setting("compiled, 3 threads, AVX2", {"FT_CPU": "avx2"}, threads=3, compiled=True),
    Setting("compiled, cut anywhere, 1 thread", {"FT_CUT": "random:3"}, threads=1, compiled=True, tested=False),
    Setting("AVX2", {"FT_CPU": "avx2"}, tested=False),
    Setting("AVX-512, 3 threads", {"FT_CPU": "avx512"}, threads=3),
    Setting("SSE4.2", {"FT_CPU": "sse4.2"}, tested=False),
)
INTERPRETED = Setting("the reference interpreter", {"FT_INTERP": "1"})
INTERPRETED_STEPS = {"mlp": 20, "digits_cnn": 2, "char_gpt": 4}


def batches(name: str, module: Any, seed: int = 0) -> tuple[Any, Any, Callable[[int], tuple[Any, Any]]]:
    """(model, optimizer, step number -> batch) of an example, char_gpt at a small size."""
    if name == "mlp":
        model, optimizer = module.setup(seed)
        data = module.data()
        return model, optimizer, lambda i: data
    if name == "digits_cnn":
        x, y, _, _ = module.data()
        model, optimizer = module.setup(seed)
        return model, optimizer, lambda i: (x[i * 64 % 1024:i * 64 % 1024 + 64], y[i * 64 % 1024:i * 64 % 1024 + 64])
    ids, characters = module.corpus()
    model, optimizer = module.setup(len(characters), seed, **SMALL)
    return model, optimizer, lambda i: module.batch(ids, model.context, 8)


def outcome(name: str, steps: int, compiled: bool) -> str:
    """A digest of the losses, the parameters and buffers, and the generator's state after some steps."""
    import importlib

    import frankentorch as torch

    sys.path.insert(0, str(EXAMPLES))
    module = importlib.import_module(name)
    model, optimizer, batch = batches(name, module)
    step = torch.compile(module.train_step) if compiled else module.train_step
    found = hashlib.sha256()
    losses = [step(model, optimizer, *batch(i)).detach() for i in range(steps)]
    for tensor in (*losses, *model.state_dict().values(), torch.get_rng_state()):
        found.update(tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def run(setting: Setting, steps: dict[str, int]) -> dict[str, str]:
    """The digests of a setting, from a process of its own."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("FT_") or k == "FT_CACHE_DIR"} | setting.env
    order = json.dumps({"steps": steps, "threads": setting.threads, "compiled": setting.compiled})
    done = subprocess.run([sys.executable, __file__, "--worker", order], env=env, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise RuntimeError(f"{setting.name}: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def worker(order: dict[str, Any]) -> None:
    import frankentorch as torch

    torch.set_num_threads(order["threads"])
    print(json.dumps({name: outcome(name, steps, order["compiled"]) for name, steps in order["steps"].items()}))


def rows() -> Iterator[tuple[str, dict[str, str], dict[str, str]]]:
    """(setting, its digests, the digests it should have), settings that this host lacks left out with a note."""
    from frankentorch.runtime import jit

    wanted = run(PLAIN, STEPS)
    yield PLAIN.name, wanted, wanted
    for setting in SETTINGS:
        if setting.tier and setting.tier not in jit.host_tiers():
            print(f"{setting.name}: this host has no {setting.tier}", file=sys.stderr)
            continue
        yield setting.name, run(setting, STEPS), wanted
    few = run(PLAIN, INTERPRETED_STEPS)
    yield "as it comes, fewer steps", few, few
    yield INTERPRETED.name, run(INTERPRETED, INTERPRETED_STEPS), few


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(json.loads(args.worker))
        return
    print(f"{'':34}" + "".join(f"{name:20}" for name in STEPS))
    same = True
    for name, got, wanted in rows():
        print(f"{name:34}" + "".join(f"{got[e]}{'' if got[e] == wanted[e] else ' !!'}".ljust(20) for e in STEPS), flush=True)
        same = same and got == wanted
    print("the same bits" if same else "the bits differ")
    raise SystemExit(0 if same else 1)


if __name__ == "__main__":
    main()
