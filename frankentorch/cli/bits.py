"""``ft bits``: one script run in several ways must leave the same bits.

Enters: a script whose global tensors, or a function whose result, are the outcome. Leaves: a digest of the outcome for each way of running it, and
exit status 1 where two differ.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import click

from .show import either, json_option, table

WAYS: tuple[tuple[str, ...], ...] = (
    (), ("--threads", "1"), ("--threads", "7"), ("--cpu", "sse4.2"), ("--cpu", "avx2"), ("--eager",), ("--cut", "random:1"), ("--cut", "random:2"))


def digest(value: Any) -> str:
    """blake3 of every tensor and number in a value: in modules by name, in containers in order; other objects are passed over."""
    from blake3 import blake3

    found = blake3()
    for name, data in _leaves("", value, set()):
        found.update(f"{name}\0{len(data)}\0".encode())
        found.update(data)
    return found.hexdigest()


def _leaves(name: str, value: Any, above: set[int]) -> Iterator[tuple[str, bytes]]:
    import frankentorch as torch

    if isinstance(value, torch.Tensor):
        flat = value.detach().resolve_conj().contiguous().reshape(-1) if value.is_complex() else value.detach().contiguous().reshape(-1)
        yield f"{name} {value.dtype} {tuple(value.shape)}", flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
    elif isinstance(value, (bool, int, float, complex, str)):
        yield name, repr(value).encode()
    elif id(value) in above:
        return
    elif isinstance(value, torch.nn.Module):
        yield from _leaves(name, value.state_dict(), above)
    elif isinstance(value, dict):
        for k, v in value.items():
            yield from _leaves(f"{name}.{k}", v, above | {id(value)})
    elif isinstance(value, (list, tuple)):
        for k, v in enumerate(value):
            yield from _leaves(f"{name}[{k}]", v, above | {id(value)})


def outcome(left: Any, function: bool) -> Any:
    """What a run leaves: a function's result, or the tensors and modules among a script's names."""
    import frankentorch as torch

    if function:
        return left
    return {k: v for k, v in sorted(left.items()) if isinstance(v, (torch.Tensor, torch.nn.Module))}


@click.command()
@json_option
@click.argument("target", metavar="SCRIPT|MODULE:FUNCTION")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def command(target: str, args: tuple[str, ...], as_json: bool) -> None:
    """Run SCRIPT with other threads, CPU tiers and cuts; compare the bits of what it leaves.

    That is the result of a function, or a script's tensors and modules by name. Exit status 1 where two ways differ.
    """
    rows = []
    for way in WAYS:
        done = subprocess.run([sys.executable, "-m", "frankentorch", "run", "--digest", *way, target, *args], stdout=subprocess.PIPE, text=True,
                              check=False)
        if done.returncode:
            raise click.ClickException(f"the script ended with status {done.returncode} under {' '.join(way) or 'no option'}")
        rows.append({"options": " ".join(way), "digest": done.stdout.splitlines()[-1]})
    same = len({r["digest"] for r in rows}) == 1

    def show(value: dict[str, Any]) -> None:
        table(("options", "digest of the outcome"), [(r["options"] or "(none)", r["digest"]) for r in value["runs"]])
        click.echo("the same bits" if same else "the bits differ")

    either({"same": same, "runs": rows}, as_json, show)
    raise SystemExit(0 if same else 1)
