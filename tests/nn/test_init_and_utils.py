"""Initialisers draw as torch does; gradient clipping, vectors, packed sequences and weight norm agree with torch."""

from __future__ import annotations

from typing import Any

import pytest
from nn_oracle import check, normal

INITS = ["uniform_(t, -2, 3)", "normal_(t, 1, 2)", "trunc_normal_(t)", "trunc_normal_(t, std=0.1, a=0.2, b=0.5)", "trunc_normal_(t, 3.0, 1.0, -1.0, 1.0)",
         "constant_(t, 3)", "ones_(t)", "zeros_(t)", "eye_(t)", "xavier_uniform_(t, 2.0)", "xavier_normal_(t)",
         "kaiming_uniform_(t, a=0.5, mode='fan_out')", "kaiming_normal_(t, nonlinearity='relu')", "orthogonal_(t, 1.5)", "sparse_(t, 0.4)"]


@pytest.mark.parametrize("call", INITS)
@pytest.mark.parametrize("shape", [(7, 5), (3, 8)])
def test_init(call: str, shape: tuple[int, ...]) -> None:
    def run(m: Any) -> Any:
        t = m.empty(*shape, requires_grad=True)
        out = eval("m.nn.init." + call, {"m": m, "t": t})  # noqa: S307
        return t.detach(), out is t, m.rand(2)

    check(run, tol=1e-5)


@pytest.mark.parametrize(("shape", "groups"), [((4, 2, 3), 2), ((3, 5, 3, 2), 1), ((2, 2, 3, 3, 3), 1)])
def test_dirac(shape: tuple[int, ...], groups: int) -> None:
    check(lambda m: m.nn.init.dirac_(m.empty(*shape), groups))


@pytest.mark.parametrize("call", ["eye_(m.ones(2))", "dirac_(m.ones(2, 2))", "dirac_(m.ones(3, 2, 2), 2)", "xavier_uniform_(m.ones(2))",
                                  "kaiming_uniform_(m.ones(2, 2), mode='x')", "kaiming_uniform_(m.ones(2, 2), nonlinearity='x')", "orthogonal_(m.ones(2))",
                                  "sparse_(m.ones(2), 0.1)", "calculate_gain('x')", "calculate_gain('leaky_relu', True)", "kaiming_uniform_(m.ones(0, 2))"])
def test_init_errors(call: str) -> None:
    check(lambda m: eval("m.nn.init." + call, {"m": m}), warned=True)  # noqa: S307


def test_gains() -> None:
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "selu", "leaky_relu"):
        check(lambda m, n=name: m.nn.init.calculate_gain(n))


@pytest.mark.parametrize("norm", [1.0, 2.0, float("inf")])
def test_clip_grad(norm: float) -> None:
    def run(m: Any, a: Any, b: Any) -> Any:
        ((a * a).sum() + (b * 3).sum()).backward()
        total = m.nn.utils.clip_grad_norm_([a, b], 0.7, norm)
        clipped = [a.grad.clone(), b.grad.clone()]
        m.nn.utils.clip_grad_value_([a, b], 0.05)
        out = [total, *clipped, a.grad.clone(), b.grad.clone(), m.nn.utils.get_total_norm([a.grad, b.grad], norm)]
        a.grad = b.grad = None
        return out

    check(run, normal(3, 4), normal(5))


def test_vectors() -> None:
    def run(m: Any, x: Any) -> Any:
        net = m.nn.Linear(3, 2)
        flat = m.nn.utils.parameters_to_vector(net.parameters())
        m.nn.utils.vector_to_parameters(flat * 2, net.parameters())
        return flat, net.weight, net.bias

    check(run, normal(2))


def test_packing() -> None:
    def run(m: Any, a: Any, b: Any, c: Any) -> Any:
        rnn = m.nn.utils.rnn
        padded = rnn.pad_sequence([a, b, c], padding_value=-1.0)
        left = rnn.pad_sequence([a, b, c], batch_first=True, padding_side="left")
        packed = rnn.pack_padded_sequence(padded, [2, 4, 3], enforce_sorted=False)
        again, lengths = rnn.pad_packed_sequence(packed, batch_first=True, padding_value=5.0, total_length=6)
        return [padded, left, *packed, again, lengths, rnn.unpack_sequence(packed), rnn.pack_sequence([b, c, a]).batch_sizes]

    check(run, normal(2, 3), normal(4, 3, seed=1), normal(3, 3, seed=2))
    check(lambda m, x: m.nn.utils.rnn.pack_padded_sequence(x, [1, 3]), normal(4, 2, 3))
    check(lambda m, x: m.nn.utils.rnn.pack_padded_sequence(x, [1, 0]), normal(4, 2, 3))


@pytest.mark.parametrize("source", ["LSTM(3, 4, 2, bidirectional=True)", "GRU(3, 4)", "RNN(3, 4, bidirectional=True)", "LSTM(3, 4, proj_size=2)"])
@pytest.mark.parametrize("given", [False, True])
def test_recurrent_over_packed(source: str, given: bool) -> None:
    def run(m: Any, x: Any) -> Any:
        net = eval("m.nn." + source, {"m": m})  # noqa: S307
        packed = m.nn.utils.rnn.pack_padded_sequence(x, [2, 5, 3], enforce_sorted=False)
        states = None
        if given:
            d = net.num_layers * (2 if net.bidirectional else 1)
            h, c = m.ones(d, 3, net.proj_size or 4) * m.arange(3).reshape(1, 3, 1), m.ones(d, 3, 4)
            states = (h, c) if net.mode == "LSTM" else h
        out, ends = net(packed, states)
        return out.data, out.batch_sizes, out.sorted_indices, ends

    check(run, normal(5, 3, 3), tol=2e-5)


def test_weight_norm() -> None:
    def run(m: Any, x: Any) -> Any:
        net = m.nn.utils.weight_norm(m.nn.Linear(4, 3))
        net.weight_g.data.mul_(2)
        out, keys = net(x), sorted(net.state_dict())
        m.nn.utils.remove_weight_norm(net)
        return out, keys, net(x), sorted(net.state_dict())

    check(run, normal(2, 4))


def test_fusing_batch_norm() -> None:
    def run(m: Any, x: Any) -> Any:
        conv, bn = m.nn.Conv2d(3, 4, 3, bias=False), m.nn.BatchNorm2d(4)
        bn(conv(x.detach()) * 3 + 1)
        conv.eval(), bn.eval()
        fused = m.nn.utils.fuse_conv_bn_eval(conv, bn)
        return fused(x), fused.weight, fused.bias

    check(run, normal(2, 3, 5, 5), tol=5e-5)
    check(lambda m: m.nn.utils.fuse_conv_bn_eval(m.nn.Conv2d(3, 4, 3), m.nn.BatchNorm2d(4)))


def test_functional_call() -> None:
    def run(m: Any, x: Any, w: Any) -> Any:
        net = m.nn.Linear(4, 3)
        call = m.nn.utils.stateless.functional_call
        out = call(net, {"weight": w}, x)
        return out, net.weight.shape, call(net, {"weight": w, "bias": m.ones(3)}, (x,), strict=True)

    check(run, normal(2, 4), normal(3, 4))


def test_parametrize() -> None:
    def run(m: Any, x: Any) -> Any:
        pz = m.nn.utils.parametrize

        class Double(m.nn.Module):
            def forward(self, w: Any) -> Any:
                return w * 2

            def right_inverse(self, w: Any) -> Any:
                return w / 2

        net = m.nn.Linear(4, 3)
        pz.register_parametrization(net, "weight", Double())
        seen = [repr(net), list(net.state_dict()), net(x), pz.is_parametrized(net, "bias"), type(net).__name__]
        net.weight = m.ones(3, 4)
        seen += [net.parametrizations.weight.original.detach().clone(), net(x)]
        with pz.cached():
            seen.append(net.weight is net.weight)
        pz.remove_parametrizations(net, "weight")
        seen += [repr(net), list(net.state_dict()), net(x)]
        return seen

    check(run, normal(2, 4))


def test_parametrized_weight_norm() -> None:
    def run(m: Any, x: Any) -> Any:
        net = m.nn.utils.parametrizations.weight_norm(m.nn.Linear(4, 3))
        net(x).sum().backward()
        return repr(net), list(net.state_dict()), net(x), [p.grad for p in net.parameters()]

    check(run, normal(2, 4))
