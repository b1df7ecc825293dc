"""Functions of torch's namespaces captured as IR: the module, its gradient and every pass give the bits of eager `backward()`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from xdsl.context import Context

import frankentorch as torch
import frankentorch.nn.functional as F
from frankentorch.errors import InterpreterError
from frankentorch.ir import build, pipeline
from frankentorch.ir.capture import capture, replay
from frankentorch.ir.passes.grad import Grad
from tests.test_ir import again, array, bits, meaning

Shape = tuple[int, ...]


def write_part(a: Any) -> Any:
    b = a.clone()
    b[1:, ::2] = b[:2, ::2] * 3
    return b


def partly_detached(a: Any) -> Any:
    with torch.no_grad():
        scale = a.exp()
    return a * a.detach() * scale + a * a


FUNCTIONS: dict[str, tuple[Callable[..., Any], list[Shape]]] = {
    "gelu": (F.gelu, [(3, 5)]),
    "gelu_tanh": (lambda a: F.gelu(a, approximate="tanh"), [(3, 5)]),
    "silu": (F.silu, [(3, 5)]),
    "softplus": (lambda a: F.softplus(a, 2, 10), [(3, 5)]),
    "elu": (F.elu, [(9,)]),
    "hardswish": (F.hardswish, [(9,)]),
    "leaky_relu": (lambda a: F.leaky_relu(a, 0.2), [(9,)]),
    "prelu": (F.prelu, [(3, 4), (4,)]),
    "glu": (F.glu, [(3, 4)]),
    "softshrink": (F.softshrink, [(3, 4)]),
    "layer_norm": (lambda a, w, b: F.layer_norm(a, (4,), w, b), [(3, 4), (4,), (4,)]),
    "layer_norm_bias_alone": (lambda a, b: F.layer_norm(a, (4,), None, b), [(3, 4), (4,)]),
    "batch_norm": (lambda a, w, b: F.batch_norm(a, None, None, w, b, True), [(3, 4, 5), (4,), (4,)]),
    "rms_norm": (lambda a, w: F.rms_norm(a, (4,), w), [(3, 4), (4,)]),
    "group_norm": (lambda a, w: F.group_norm(a, 2, w), [(3, 4, 5), (4,)]),
    "linear": (F.linear, [(2, 3, 4), (5, 4), (5,)]),
    "addmm": (lambda a, b, c: torch.addmm(a, b, c, beta=0.5, alpha=2), [(3, 5), (3, 4), (4, 5)]),
    "lerp": (lambda a, b: torch.lerp(a, b, 0.3), [(4,), (4,)]),
    "clamp": (lambda a: a.clamp(-0.5, 0.5), [(9,)]),
    "std": (lambda a: a.std(1), [(3, 4)]),
    "var_mean": (lambda a: torch.var_mean(a, 1, correction=0), [(3, 4)]),
    "norm": (lambda a: torch.norm(a, 3, 1), [(3, 4)]),
    "logsumexp": (lambda a: a.logsumexp(1), [(3, 4)]),
    "max": (lambda a: a.max(1)[0], [(3, 4)]),
    "bce": (F.binary_cross_entropy_with_logits, [(3, 4), (3, 4)]),
    "pow": (lambda a, b: (a.abs() + 1) ** b, [(4,), (4,)]),
    "cat": (lambda a, b: torch.cat([a, b.t()], 0), [(3, 4), (4, 3)]),
    "split": (lambda a: a.split(2, 1)[1] * 2, [(3, 4)]),
    "index": (lambda a: a[torch.tensor([0, 0, 2])], [(3, 4)]),
    "masked_fill": (lambda a: a[:, 1:3].masked_fill(a[:, 1:3] > 0, -1.0), [(3, 4)]),
    "write_part": (write_part, [(3, 4)]),
    "in_place": (lambda a: a.clone().mul_(2).add_(1).t(), [(3, 4)]),
    "partly_detached": (partly_detached, [(3, 4)]),
    "repeat": (lambda a: a.repeat(2, 1), [(3, 4)]),
    "conv_transpose": (lambda a, w: F.conv_transpose2d(a, w, stride=2), [(1, 2, 4, 4), (2, 3, 2, 2)]),
    "conv1d_groups": (lambda a, w, b: F.conv1d(a, w, b, groups=2), [(1, 4, 8), (4, 2, 3), (4,)]),
    "interpolate": (lambda a: F.interpolate(a, scale_factor=2, mode="bilinear"), [(1, 2, 3, 3)]),
    "attention": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), [(1, 2, 4, 8)] * 3),
    "embedding": (lambda w: F.embedding(torch.tensor([[1, 2], [0, 1]]), w), [(3, 4)]),
    "topk": (lambda a: a.topk(2)[0], [(3, 4)]),
    "dropout": (lambda a: F.dropout(a, 0.5), [(3, 4)]),
    "bfloat16_softmax": (lambda a: torch.softmax(a.bfloat16(), -1), [(3, 4)]),
    "complex": (lambda a: torch.complex(a, a * 2).abs(), [(3,)]),
    "matmul": (torch.matmul, [(2, 1, 3, 4), (3, 4, 2)]),
    "cumprod": (lambda a: a.cumprod(1), [(3, 4)]),
    "unfold": (lambda a: a.unfold(1, 2, 1), [(3, 4)]),
    "reflect": (lambda a: F.pad(a, (1, 2), mode="reflect"), [(1, 3, 4)]),
    "cosine": (F.cosine_similarity, [(3, 4), (3, 4)]),
}


def scalar_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """A loss in which every result counts."""
    def loss(*args: Any) -> Any:
        out = function(*args)
        total = None
        for part in out if isinstance(out, tuple) else (out,):
            term = (part.float() * part.float()).sum()
            total = term if total is None else total + term
        return total

    return loss


@pytest.mark.parametrize("name", FUNCTIONS)
def test_captured_functions_have_the_bits_of_eager(name: str) -> None:
    function, shapes = FUNCTIONS[name]
    torch.manual_seed(11)
    args = [torch.randn(s) for s in shapes]
    loss, outside = scalar_of(function), []  # type: ignore[var-annotated]
    module = again(capture(loss, args, [True] * len(args), outside))
    torch.manual_seed(3)
    eager = loss(*[a.requires_grad_() for a in args])
    eager.backward()
    due = [bits(array(eager.detach())), *[bits(array(a.grad)) for a in args]]
    Grad().apply(Context(), module)
    module = again(module)
    given = [*[a.detach() for a in args], *outside]
    torch.manual_seed(3)
    assert [bits(array(t)) for t in replay(module, given)] == due
    torch.manual_seed(3)
    assert meaning(module, given) == due
    fused = again(pipeline.run(module, "fused", "grad"))
    torch.manual_seed(3)
    assert meaning(fused, given) == due
    loops = pipeline.run(fused, "loops", "fused")
    text = str(loops)
    assert pipeline.digest(build.parse(text)) == pipeline.digest(loops)


def test_a_tensor_from_outside_needs_a_place() -> None:
    kept = torch.randn((3,))
    with pytest.raises(InterpreterError, match="from outside"):
        capture(lambda a: (a * kept).sum(), [torch.randn((3,))], [True])
    outside: list[Any] = []
    module = capture(lambda a: (a * kept).sum(), [torch.randn((3,))], [True], outside)
    assert len(outside) == 1 and bits(array(outside[0])) == bits(array(kept))
    assert len(build.from_module(module).leaves) == 2
