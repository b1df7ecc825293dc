"""Activations, dropout, normalisation, padding: against torch, values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
from nn_oracle import check, normal, uniform

EDGES = np.array([0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0, 6.0, 25.0, -25.0, 90.0, -90.0], dtype=np.float32)

ACTIVATIONS = {
    "relu": {}, "relu6": {}, "leaky_relu": {"negative_slope": 0.2}, "elu": {"alpha": 1.5}, "selu": {}, "celu": {"alpha": 2.0},
    "gelu": {}, "silu": {}, "mish": {}, "softplus": {"beta": 2, "threshold": 5}, "logsigmoid": {}, "hardsigmoid": {}, "hardswish": {},
    "hardtanh": {"min_val": -0.5, "max_val": 3.0}, "hardshrink": {}, "softshrink": {}, "tanhshrink": {}, "softsign": {},
    "threshold": {"threshold": 0.5, "value": 7.0}, "tanh": {}, "sigmoid": {}, "rrelu": {},
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name: str) -> None:
    for x in (normal(5, 7) * 3, EDGES):
        check(lambda m, t: getattr(m.nn.functional, name)(t, **ACTIVATIONS[name]), x)


@pytest.mark.parametrize("name", [n for n in ACTIVATIONS if n not in ("tanh", "sigmoid")])
def test_activation_keeps_nan(name: str) -> None:
    check(lambda m, t: getattr(m.nn.functional, name)(t, **ACTIVATIONS[name]), np.array([np.nan, 1.0], np.float32), grad=False)


@pytest.mark.parametrize("name", ["relu", "gelu", "silu", "elu", "softplus", "hardswish", "softmax"])
def test_bfloat16_rounds_once(name: str) -> None:
    def run(m, t):
        x = t.to(m.bfloat16)
        return m.nn.functional.softmax(x, -1) if name == "softmax" else getattr(m.nn.functional, name)(x)

    check(run, normal(4, 9) * 2, tol=1e-2)


@pytest.mark.parametrize("name", ["relu", "elu", "leaky_relu", "hardtanh", "silu", "mish", "hardswish", "selu", "celu", "relu6"])
def test_activation_in_place(name: str) -> None:
    def run(m, t):
        x = t.clone()
        out = getattr(m.nn.functional, name)(x, inplace=True)
        return out, x, out is x

    check(run, normal(4, 5))


def test_gelu_tanh_and_errors() -> None:
    check(lambda m, t: m.nn.functional.gelu(t, approximate="tanh"), normal(40) * 3)
    check(lambda m, t: m.nn.functional.gelu(t, approximate="x"), normal(4))
    check(lambda m, t: m.nn.functional.glu(t, 1), normal(3, 5))
    check(lambda m, t: m.nn.functional.hardtanh(t, 2, 1), normal(3, 5))


def test_glu_prelu_softmaxes() -> None:
    check(lambda m, t: m.nn.functional.glu(t), normal(3, 6))
    check(lambda m, t: m.nn.functional.glu(t, 0), normal(4, 3))
    check(lambda m, t, w: m.nn.functional.prelu(t, w), normal(3, 4, 5), uniform(4))
    check(lambda m, t, w: m.nn.functional.prelu(t, w), normal(3, 4), uniform(1))
    for dim in (None, 0, 1, -1):
        for name in ("softmax", "log_softmax", "softmin"):
            check(lambda m, t, d=dim, n=name: getattr(m.nn.functional, n)(t, d), normal(3, 4))
    check(lambda m, t: m.nn.functional.softmax(t, 1, dtype=m.float64), normal(3, 4))


@pytest.mark.parametrize("hard", [False, True])
def test_gumbel_softmax_draws_as_torch(hard: bool) -> None:
    check(lambda m, t: m.nn.functional.gumbel_softmax(t, tau=0.7, hard=hard), normal(6, 5))


def test_rrelu_draws_as_torch() -> None:
    check(lambda m, t: m.nn.functional.rrelu(t, 0.1, 0.4, True), normal(6, 5))
    check(lambda m, t: m.nn.functional.rrelu(t, 0.1, 0.4, False), normal(6, 5))


@pytest.mark.parametrize(("name", "shape"), [
    ("dropout", (40, 7)), ("dropout1d", (3, 4, 5)), ("dropout1d", (3, 4)), ("dropout2d", (2, 6, 4, 4)), ("dropout2d", (2, 6, 4)),
    ("dropout2d", (6, 4)), ("dropout3d", (2, 6, 2, 2, 2)), ("dropout3d", (6, 2, 2, 2)), ("alpha_dropout", (30, 4)),
    ("feature_alpha_dropout", (3, 4, 5)), ("dropout1d", (2, 3, 4, 5)),
])
def test_dropout_draws_as_torch(name: str, shape: tuple[int, ...]) -> None:
    for p in (0.0, 0.3, 1.0):
        check(lambda m, t, p=p: getattr(m.nn.functional, name)(t, p, True), normal(*shape), seed=7)
    check(lambda m, t: getattr(m.nn.functional, name)(t, 0.4, False), normal(*shape))
    check(lambda m, t: getattr(m.nn.functional, name)(t, 1.5, True), normal(*shape))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shape", [(6, 4), (3, 4, 5), (2, 4, 3, 3)])
def test_batch_norm(shape: tuple[int, ...], training: bool) -> None:
    def run(m, x, w, b, mean, var):
        mean, var = mean.detach(), var.detach()
        return m.nn.functional.batch_norm(x, mean, var, w, b, training, 0.3, 1e-4), mean, var

    check(run, normal(*shape), normal(4, seed=1), normal(4, seed=2), normal(4, seed=3), uniform(4, low=0.5, high=2.0), tol=2e-5)


def test_batch_norm_without_stats_and_errors() -> None:
    check(lambda m, x: m.nn.functional.batch_norm(x, None, None, training=True), normal(5, 3))
    check(lambda m, x: m.nn.functional.batch_norm(x, None, None, training=True), normal(1, 3))
    check(lambda m, x: m.nn.functional.batch_norm(x, None, None, training=True, eps=0.0), normal(5, 3))
    check(lambda m, x: m.nn.functional.batch_norm(x, None, None), normal(5, 3), message=False)
    check(lambda m, x, w: m.nn.functional.batch_norm(x, None, None, w, training=True), normal(5, 3), normal(4))


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 4, 3, 3)])
def test_instance_norm(shape: tuple[int, ...]) -> None:
    def run(m, x, w, b, mean, var):
        mean, var = mean.detach(), var.detach()
        out = m.nn.functional.instance_norm(x, mean, var, w, b, True, 0.2)
        return out, mean, var, m.nn.functional.instance_norm(x, mean, var, w, b, False)

    check(run, normal(*shape), normal(4, seed=1), normal(4, seed=2), normal(4, seed=3), uniform(4, low=0.5, high=2.0), tol=1e-4)
    check(lambda m, x: m.nn.functional.instance_norm(x), normal(*shape), tol=1e-4)
    check(lambda m, x: m.nn.functional.instance_norm(x), normal(2, 3, 1))


def test_layer_group_rms_norm() -> None:
    check(lambda m, x, w, b: m.nn.functional.layer_norm(x, (5,), w, b), normal(3, 4, 5), normal(5), normal(5, seed=1), tol=3e-5)
    check(lambda m, x: m.nn.functional.layer_norm(x, (4, 5)), normal(3, 4, 5), tol=3e-5)
    check(lambda m, x: m.nn.functional.layer_norm(x, (4,)), normal(3, 4, 5))
    check(lambda m, x: m.nn.functional.layer_norm(x, ()), normal(3, 4, 5))
    check(lambda m, x, w: m.nn.functional.layer_norm(x, (5,), w), normal(3, 4, 5), normal(4))
    check(lambda m, x, w: m.nn.functional.rms_norm(x, (5,), w), normal(3, 4, 5), normal(5), tol=3e-5)
    check(lambda m, x: m.nn.functional.rms_norm(x, (4, 5), eps=0.1), normal(3, 4, 5), tol=3e-5)
    check(lambda m, x, w, b: m.nn.functional.group_norm(x, 2, w, b), normal(3, 6, 5), normal(6), normal(6, seed=1), tol=5e-5)
    check(lambda m, x: m.nn.functional.group_norm(x, 3), normal(2, 6, 2, 2), tol=5e-5)
    check(lambda m, x: m.nn.functional.group_norm(x, 4), normal(2, 6, 2, 2))
    check(lambda m, x: m.nn.functional.local_response_norm(x, 3), normal(2, 6, 4), tol=3e-5)
    check(lambda m, x: m.nn.functional.local_response_norm(x, 4, 0.1, 0.5, 2.0), normal(2, 6, 3, 3), tol=3e-5)
    check(lambda m, x: m.nn.functional.local_response_norm(x, 2), normal(2, 6))


def test_normalize() -> None:
    check(lambda m, x: m.nn.functional.normalize(x), normal(3, 4))
    check(lambda m, x: m.nn.functional.normalize(x, p=1, dim=0), normal(3, 4))


PADS = [((1, 2), (3, 5)), ((2, 0), (2, 3, 5)), ((1, 2, 0, 1), (2, 3, 4, 5)), ((1, 1, 1, 0), (3, 4, 5)),
        ((1, 0, 2, 1, 0, 1), (2, 2, 3, 4, 3)), ((-1, 2), (2, 3, 5)), ((7, 7), (2, 3, 5)), ((1, 2, 3), (2, 3, 5))]


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize(("pads", "shape"), PADS)
def test_pad(mode: str, pads: tuple[int, ...], shape: tuple[int, ...]) -> None:
    check(lambda m, x: m.nn.functional.pad(x, pads, mode), normal(*shape), message=mode in ("constant", "reflect"))


def test_pad_value_and_errors() -> None:
    check(lambda m, x: m.nn.functional.pad(x, (1, 2, 3, 4), value=2.5), normal(2, 3))
    check(lambda m, x: m.nn.functional.pad(x, (1, 1, 1, 1, 1, 1)), normal(2, 3))
    check(lambda m, x: m.nn.functional.pad(x, (1, 1), "reflect", 3.0), normal(2, 3))
    check(lambda m, x: m.nn.functional.pad(x, (1, 1, 1, 1), "reflect"), normal(3, 3))


def test_pixels() -> None:
    check(lambda m, x: m.nn.functional.pixel_shuffle(x, 2), normal(2, 8, 3, 4))
    check(lambda m, x: m.nn.functional.pixel_unshuffle(x, 2), normal(8, 4, 6))
    check(lambda m, x: m.nn.functional.channel_shuffle(x, 3), normal(2, 6, 3, 2))
    check(lambda m, x: m.nn.functional.pixel_shuffle(x, 3), normal(2, 8, 3, 4))
    check(lambda m, x: m.nn.functional.pixel_unshuffle(x, 4), normal(8, 4, 6))
    check(lambda m, x: m.nn.functional.channel_shuffle(x, 4), normal(2, 6, 3, 2))
