"""Names: what torch has is here, or says that it is missing; modules that programs import are there; small modules do what they say."""

from __future__ import annotations

import importlib
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import make_torch_names
import numpy as np
import pytest
import torch
from parity import check, check_error, leaf, rand

import frankentorch as ft
from frankentorch import _torch_names
from frankentorch.errors import MissingName

# Names without which most programs would not start.
NEEDED = """
abs add addmm allclose amax amin any all arange argmax argmin argsort as_tensor atan2 autocast bernoulli bfloat16 bincount bmm bool broadcast_tensors cat
ceil chunk clamp clone compile complex64 conv2d cos cosine_similarity cumsum device diag diff dot dtype einsum empty equal erf exp eye flatten flip float16
float32 float64 floor from_numpy full gather Generator get_default_dtype histc hstack inference_mode index_select int64 is_grad_enabled is_tensor
isfinite isnan kthvalue lerp linspace load log log_softmax logsumexp manual_seed masked_select matmul max maximum mean median meshgrid min mm mul
multinomial nan_to_num narrow no_grad nonzero norm normal numel ones ones_like outer permute pow prod rand randint randn randperm relu repeat_interleave
reshape roll round rsqrt save scatter searchsorted set_default_dtype set_grad_enabled set_num_threads sigmoid sign sin Size softmax sort split sqrt squeeze
stack std strided sub sum tan tanh Tensor tensor tensordot tile topk transpose tril triu unbind unique unsqueeze var vstack where zeros zeros_like
nn optim autograd utils linalg special random backends cuda amp testing multiprocessing version storage serialization overrides profiler return_types
preserve_format contiguous_format channels_last inf nan pi e newaxis UntypedStorage TypedStorage FloatStorage get_rng_state set_rng_state
""".split()


@pytest.mark.parametrize("name", NEEDED)
def test_needed(name: str) -> None:
    assert hasattr(torch, name), "torch does not have it"
    assert hasattr(ft, name)


def test_list_is_current() -> None:
    # In a process of its own: torch's namespace grows as its submodules are imported.
    code = "import make_torch_names; print(make_torch_names.generate(), end='')"
    here = Path(make_torch_names.__file__).parent
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=here).stdout
    assert make_torch_names.TARGET.read_text() == fresh


def test_missing_names_are_named() -> None:
    missing = [n for n in _torch_names.TORCH if not hasattr(ft, n)]
    for name in missing:
        with pytest.raises(MissingName, match=name):
            getattr(ft, name)
    assert len(missing) < 480, "more of torch is missing than was"
    assert "istft" in missing or hasattr(ft, "istft")


def test_missing_methods_are_named() -> None:
    x = ft.ones(2)
    for name in _torch_names.TENSOR:
        if not hasattr(ft.Tensor, name) and not hasattr(x, name):
            with pytest.raises(MissingName, match=name):
                getattr(x, name)
    with pytest.raises(AttributeError) as info:
        x.no_such_thing  # noqa: B018
    assert not isinstance(info.value, MissingName)


def test_missing_names_of_modules() -> None:
    for module, names in _torch_names.MODULES.items():
        try:
            here = importlib.import_module(f"frankentorch.{ {'random': 'random_api', 'types': 'types_api'}.get(module, module) }")
        except ModuleNotFoundError:
            with pytest.raises(MissingName, match=module):
                getattr(ft, module)
            continue
        for name in names:
            if not hasattr(here, name):
                with pytest.raises(AttributeError, match=name):
                    getattr(here, name)
    with pytest.raises(MissingName, match="svd"):
        ft.linalg.svd  # noqa: B018
    with pytest.raises(MissingName, match="fft"):
        ft.fft.fft  # noqa: B018


@pytest.mark.parametrize("name", ("nn.functional", "nn.init", "utils.data", "optim.lr_scheduler", "backends.cudnn", "cuda.amp", "linalg", "autograd.functional",
                                  "multiprocessing", "serialization", "testing", "amp"))
def test_submodules(name: str) -> None:
    assert importlib.import_module(f"frankentorch.{name}") is not None


LINALG: dict[str, Any] = {
    **{f"vector {o}": (lambda t, x, o=o: t.linalg.vector_norm(x, o, 1)) for o in (0, 0.5, 1, 2, 3, float("inf"), -float("inf"))},
    **{f"matrix {o}": (lambda t, x, o=o: t.linalg.matrix_norm(x, o)) for o in ("fro", 1, -1, float("inf"), -float("inf"))},
    "norm": lambda t, x: (t.linalg.norm(x), t.linalg.norm(x, "fro"), t.linalg.norm(x, 1), t.linalg.norm(x[0], 3), t.linalg.norm(x, dim=0, keepdim=True)),
    "multi_dot": lambda t, x: t.linalg.multi_dot([x, x.T, x, x.T]), "multi_dot vectors": lambda t, x: t.linalg.multi_dot([x[0], x.T, x[:, 0]]),
    "matrix_power": lambda t, x: [t.linalg.matrix_power(x @ x.T, n) for n in (1, 2, 5)],
    "matrix_power 0": lambda t, x: t.linalg.matrix_power(x.detach() @ x.detach().T, 0),
    "vecdot": lambda t, x: t.linalg.vecdot(x, x * 2),
    "cross": lambda t, x: t.linalg.cross(x[:, :3], x[:, 1:]), "diagonal": lambda t, x: t.linalg.diagonal(x), "vander": lambda t, x: t.linalg.vander(x[0], N=3),
    "tensordot": lambda t, x: t.tensordot(x, x, ([1], [1])), "hsplit": lambda t, x: x.hsplit(2), "column_stack": lambda t, x: t.column_stack([x[:, 0], x]),
    "nanmean": lambda t, x: t.nanmean(x, 1), "cov": lambda t, x: (t.cov(x), t.corrcoef(x)), "vdot": lambda t, x: t.vdot(x[0], x[1]),
}


@pytest.mark.parametrize("name", LINALG)
def test_linalg(name: str) -> None:
    check(LINALG[name], leaf(rand(3, 4, seed=4)), rtol=2e-5)


def test_special() -> None:
    for name in ("expit", "erf", "erfc", "erfinv", "exp2", "expm1", "log1p", "gammaln", "digamma", "psi", "i0", "i0e", "i1", "i1e", "sinc", "entr", "logit"):
        check(lambda t, x: getattr(t.special, name)(x), np.array([0.1, 0.4, 0.9], "float32"), rtol=2e-5)
    check(lambda t, x: (t.special.softmax(x, 0), t.special.log_softmax(x, 0), t.special.logsumexp(x, 0), t.special.xlogy(x, x)), np.array([0.1, 2.0], "float32"))


def test_autocast() -> None:
    def run(t: Any, x: Any, w: Any) -> Any:
        layer = t.nn.Linear(4, 2)
        with t.no_grad():
            layer.weight.copy_(w)
            layer.bias.zero_()
        with t.autocast("cpu", dtype=t.bfloat16):
            y = layer(x)
            products = x @ x.T, t.mm(x, x.T), x * 2, y.softmax(1)
            loss = t.nn.functional.mse_loss(y, x[:, :2])
            with t.autocast("cpu", enabled=False):
                plain = layer(x)
        return y.dtype, [p.dtype for p in products], loss.dtype, plain, layer(x).dtype, y.float()

    check(run, rand(3, 4), rand(2, 4, seed=1), rtol=2e-2, grad=False)
    with pytest.warns(UserWarning, match="CUDA is not available"), ft.autocast("cuda"):
        assert (ft.ones(2, 2) @ ft.ones(2, 2)).dtype is ft.float32


def test_grad_scaler() -> None:
    p = ft.nn.Parameter(ft.ones(2))
    optimizer = ft.optim.SGD([p], lr=1.0)
    scaler = ft.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1)
    scaler.scale((p * 2).sum()).backward()
    assert p.grad.tolist() == [8.0, 8.0]
    scaler.step(optimizer)
    scaler.update()
    assert p.tolist() == [-1.0, -1.0] and scaler.get_scale() == 8.0
    optimizer.zero_grad()
    scaler.scale((p * float("inf")).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert p.tolist() == [-1.0, -1.0] and scaler.get_scale() == 4.0


def test_assert_close() -> None:
    cases: list[Any] = [
        lambda t: t.testing.assert_close(t.ones(2), t.ones(2)), lambda t: t.testing.assert_close(t.tensor([1.0, 2, 3]), t.tensor([1.0, 2, 4])),
        lambda t: t.testing.assert_close(t.ones(2), t.ones(3)), lambda t: t.testing.assert_close(t.ones(2), t.ones(2, dtype=t.float64)),
        lambda t: t.testing.assert_close(1.0, 1.1), lambda t: t.testing.assert_close([t.ones(1)], [t.zeros(1)]),
        lambda t: t.testing.assert_close({"a": t.ones(1)}, {"a": t.ones(1)}), lambda t: t.testing.assert_close(t.tensor([1, 2]), t.tensor([1, 3])),
        lambda t: t.testing.assert_close(t.ones(2), t.ones(2), rtol=1.0), lambda t: t.testing.assert_close(t.tensor(float("nan")), t.tensor(float("nan"))),
        lambda t: t.testing.assert_close(t.tensor(float("nan")), t.tensor(float("nan")), equal_nan=True),
    ]
    for case in cases:
        check(case, words=60)


def test_serialization() -> None:
    x = ft.arange(6.0).reshape(2, 3)
    file = io.BytesIO()
    ft.save({"x": x, "row": x[1], "p": ft.nn.Parameter(x), "n": [1, "a", None], "t": (ft.float16, ft.Size([2]))}, file)
    file.seek(0)
    theirs = torch.load(file)
    assert theirs["row"].tolist() == [3.0, 4.0, 5.0] and theirs["row"].untyped_storage().nbytes() == 24 and theirs["p"].requires_grad
    file.seek(0)
    ours = ft.load(file)
    ours["x"][1, 0] = 9
    assert ours["row"][0].item() == 9.0 and isinstance(ours["p"], ft.nn.Parameter) and ours["t"] == (ft.float16, ft.Size([2]))


def test_random_module() -> None:
    ft.manual_seed(3)
    with ft.random.fork_rng():
        inside = ft.rand(3)
    assert ft.rand(3).tolist() == inside.tolist() == torch.rand(3, generator=torch.Generator().manual_seed(3)).tolist()


def test_no_cuda() -> None:
    check(lambda t: (t.cuda.is_available(), t.cuda.device_count(), t.cuda.is_initialized(), t.cuda.memory_allocated(), t.backends.mps.is_available()))
    for case in (lambda t: t.cuda.current_device(), lambda t: t.cuda.synchronize(), lambda t: t.ones(2).cuda(), lambda t: t.zeros(1, device="cuda")):
        check_error(case, words=20)
    ft.cuda.manual_seed_all(1)
    ft.backends.cudnn.deterministic = True


def test_profiler() -> None:
    with ft.profiler.profile() as p, ft.profiler.record_function("block"):
        ft.ones(3).sum()
    assert p.key_averages()[0].key == "block" and p.key_averages()[0].count == 1 and "block" in p.key_averages().table()


def _child(rank: int, queue: Any) -> None:
    queue.put((rank, ft.arange(3.0) * rank))


def _writes(rank: int, shared: Any) -> None:
    shared[rank] = rank + 1


def _fails(rank: int) -> None:
    raise ValueError(f"child {rank}")


def test_multiprocessing() -> None:
    queue = ft.multiprocessing.get_context("fork").SimpleQueue()
    ft.multiprocessing.start_processes(_child, (queue,), nprocs=2, start_method="fork")
    assert sorted((rank, t.tolist()) for rank, t in (queue.get(), queue.get())) == [(0, [0.0, 0.0, 0.0]), (1, [0.0, 1.0, 2.0])]
    shared = ft.zeros(2, 2).share_memory_()
    view = shared[1]
    ft.multiprocessing.start_processes(_writes, (shared,), nprocs=2, start_method="fork")
    assert shared.is_shared() and view.is_shared() and shared.tolist() == [[1.0, 1.0], [2.0, 2.0]] and view.tolist() == [2.0, 2.0]
    with pytest.raises(ft.multiprocessing.ProcessRaisedException, match="child 0"):
        ft.multiprocessing.start_processes(_fails, nprocs=1, start_method="fork")


def test_return_types() -> None:
    check(lambda t, x: (repr(x.max(1)), repr(x.sort(0)), type(x.topk(2)).__name__, x.median(0)._fields if hasattr(x.median(0), "_fields") else ("values", "indices")),
          rand(2, 3))
    assert isinstance(ft.ones(2, 2).max(0), ft.return_types.max)


OLD: dict[str, Any] = {
    **{n: (lambda t, n=n: [getattr(t, n)(k, periodic) for k in (0, 1, 2, 7, 8) for periodic in (True, False)])
       for n in ("hann_window", "hamming_window", "blackman_window", "bartlett_window")},
    "hamming weights": lambda t: t.hamming_window(5, True, 0.6, 0.4), "negative window": lambda t: t.hann_window(-1),
    "legacy constructors": lambda t: (t.FloatTensor([1, 2]), t.LongTensor([1]), t.ByteTensor([3]), t.FloatTensor(2, 3).shape),
    "legacy types": lambda t: (isinstance(t.ones(1), t.FloatTensor), isinstance(t.ones(1), t.LongTensor)),
    "functions of methods": lambda t: (t.zero_(t.ones(2)), t.fill(t.ones(2), 3.0), t.is_signed(t.ones(1)), t.get_device(t.ones(1)), t.detach(t.ones(1))),
    "flags": lambda t: (t.is_anomaly_enabled(), t.is_autocast_enabled("cpu"), t.get_autocast_dtype("cpu"), t.is_conj(t.ones(1))),
}


@pytest.mark.parametrize("name", OLD)
def test_old_names(name: str) -> None:
    check(OLD[name])


def test_renorm_and_vander() -> None:
    check(lambda t, x: (t.renorm(x, 2, 0, 1.0), t.vander(x.detach()[0]), t.vander(x.detach()[0], 2, True)), leaf(rand(3, 4)), rtol=1e-5)


def test_real_and_imaginary_views() -> None:
    """Writes reach the complex tensor, and the other way round, with their gradients."""
    def both(t: Any, w: Any) -> Any:
        a = w * 1
        r = a.real
        r.mul_(3)
        a.mul_(2j)
        v = t.view_as_real(a)
        v[0].zero_()
        a[1].imag = 5.0
        return a, r, a.imag, v

    check(both, leaf(rand(3, 2, dtype="complex64")), stride=False)
    check_error(lambda t, w: w.real.mul_(2), leaf(rand(3, dtype="complex64")))


def test_functional() -> None:
    def products(t: Any, x: Any) -> Any:
        f = lambda a: (a ** 3).sum() + (a[0] * a[1]).sum()
        v = t.ones(3, 4)
        return (t.autograd.functional.vjp(lambda a: a * a, x, v), t.autograd.functional.jvp(lambda a: a.exp(), x, v),
                t.autograd.functional.hvp(f, x, v), t.autograd.functional.vhp(f, x, v), t.autograd.functional.hessian(f, x[:2, :2]))

    check(products, rand(3, 4), rtol=1e-5)
