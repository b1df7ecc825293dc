"""torch.autograd.graph: saved-tensor hooks, and names of the graph's parts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ..runtime import tape


class saved_tensors_hooks:
    """Within the block, saved tensors pass through `pack_hook`, and through `unpack_hook` when backward asks for them."""

    def __init__(self, pack_hook: Any, unpack_hook: Any) -> None:
        self.pair = (pack_hook, unpack_hook)

    def __enter__(self) -> None:
        tape._saved_hooks.append(self.pair)

    def __exit__(self, *exc: object) -> None:
        tape._saved_hooks.pop()


class save_on_cpu(saved_tensors_hooks):
    """Everything is on the CPU already: packs and unpacks the tensor itself."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(lambda t: t, lambda t: t)


def get_gradient_edge(tensor: Any) -> Any:
    """The (node, output number) of a tensor."""
    if not tensor.requires_grad:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients.")
    return tape_edge(tensor._node, tensor._nr)


def tape_edge(node: Any, nr: int) -> Any:
    return SimpleNamespace(node=node, output_nr=nr)


graph = SimpleNamespace(saved_tensors_hooks=saved_tensors_hooks, save_on_cpu=save_on_cpu, Node=tape.Node, get_gradient_edge=get_gradient_edge)
