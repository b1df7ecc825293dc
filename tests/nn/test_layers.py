"""Every layer against torch: repr, parameter names and order, initial draws, outputs, gradients of input and parameters."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from nn_oracle import check, integers, normal, to_numpy, uniform

import frankentorch as ft

X2, X3, X4, X5 = normal(4, 6), normal(2, 6, 8), normal(2, 6, 8, 8), normal(2, 6, 4, 4, 4)
IDX = integers(3, 4, high=9)

LAYERS: list[tuple[str, str, list[np.ndarray]]] = [
    *[(name, f"{name}({args})", [X2]) for name, args in {
        "ReLU": "", "ReLU6": "inplace=False", "SiLU": "", "Mish": "", "SELU": "", "ELU": "0.5", "CELU": "2.0", "GELU": "'tanh'", "Sigmoid": "",
        "Tanh": "", "Softplus": "2, 10", "Softsign": "", "Softshrink": "0.3", "Hardshrink": "", "Hardtanh": "-2, 2", "Hardsigmoid": "",
        "Hardswish": "", "LogSigmoid": "", "Tanhshrink": "", "Threshold": "0.1, 20", "LeakyReLU": "0.2", "RReLU": "", "PReLU": "6", "GLU": "",
        "Softmax": "1", "LogSoftmax": "dim=0", "Softmin": "1", "Identity": "1, a=2", "Dropout": "0.3", "AlphaDropout": "0.2",
        "Linear": "6, 5", "Flatten": "", "BatchNorm1d": "6", "LayerNorm": "6", "RMSNorm": "6", "GroupNorm": "3, 6", "Unflatten": "1, (2, 3)",
    }.items()],
    ("Linear-nobias", "Linear(6, 5, bias=False)", [X3.transpose(0, 2, 1).copy()]),
    ("Bilinear", "Bilinear(6, 6, 3)", [X2, X2 * 2]),
    ("Softmax2d", "Softmax2d()", [X4]),
    ("Dropout1d", "Dropout1d()", [X3]), ("Dropout2d", "Dropout2d()", [X4]), ("Dropout3d", "Dropout3d()", [X5]),
    ("FeatureAlphaDropout", "FeatureAlphaDropout()", [X3]),
    ("Conv1d", "Conv1d(6, 4, 3, padding=1, padding_mode='circular')", [X3]),
    ("Conv2d", "Conv2d(6, 4, (3, 2), stride=2, groups=2)", [X4]),
    ("Conv2d-same", "Conv2d(6, 4, (3, 4), padding='same', padding_mode='reflect', dilation=(1, 2), bias=False)", [X4]),
    ("Conv3d", "Conv3d(6, 2, 2, padding=1, padding_mode='replicate')", [X5]),
    ("ConvTranspose1d", "ConvTranspose1d(6, 4, 3, 2, output_padding=1)", [X3]),
    ("ConvTranspose2d", "ConvTranspose2d(6, 4, 3, dilation=2, groups=2)", [X4]),
    ("ConvTranspose3d", "ConvTranspose3d(6, 2, 2, stride=2)", [X5]),
    ("MaxPool1d", "MaxPool1d(2)", [X3]), ("MaxPool2d", "MaxPool2d(3, 2, 1, ceil_mode=True, return_indices=True)", [X4]),
    ("MaxPool3d", "MaxPool3d(2)", [X5]),
    ("AvgPool1d", "AvgPool1d(2)", [X3]), ("AvgPool2d", "AvgPool2d(3, padding=1, count_include_pad=False)", [X4]),
    ("AvgPool3d", "AvgPool3d(2, divisor_override=3)", [X5]), ("LPPool1d", "LPPool1d(2, 2)", [np.abs(X3) + 0.1]),
    ("LPPool2d", "LPPool2d(2, 2, ceil_mode=True)", [np.abs(X4) + 0.1]), ("LPPool3d", "LPPool3d(2, 2)", [np.abs(X5) + 0.1]),
    ("AdaptiveAvgPool1d", "AdaptiveAvgPool1d(3)", [X3]), ("AdaptiveAvgPool2d", "AdaptiveAvgPool2d((None, 3))", [X4]),
    ("AdaptiveAvgPool3d", "AdaptiveAvgPool3d(1)", [X5]), ("AdaptiveMaxPool1d", "AdaptiveMaxPool1d(3)", [X3]),
    ("AdaptiveMaxPool2d", "AdaptiveMaxPool2d(3, return_indices=True)", [X4]), ("AdaptiveMaxPool3d", "AdaptiveMaxPool3d(2)", [X5]),
    ("FractionalMaxPool2d", "FractionalMaxPool2d(2, output_size=5)", [X4]), ("FractionalMaxPool3d", "FractionalMaxPool3d(2, output_ratio=0.6)", [X5]),
    ("BatchNorm1d-3d", "BatchNorm1d(6, momentum=None, affine=False)", [X3]), ("BatchNorm2d", "BatchNorm2d(6, bias=False)", [X4]),
    ("BatchNorm3d", "BatchNorm3d(6, track_running_stats=False)", [X5]), ("SyncBatchNorm-eval", "SyncBatchNorm(6).eval()", [X4]),
    ("InstanceNorm1d", "InstanceNorm1d(6)", [X3]), ("InstanceNorm2d", "InstanceNorm2d(6, affine=True, track_running_stats=True)", [X4]),
    ("InstanceNorm3d", "InstanceNorm3d(6, affine=True)", [X5]), ("InstanceNorm2d-unbatched", "InstanceNorm2d(6)", [X4[0]]),
    ("LayerNorm2", "LayerNorm((6, 8), eps=1e-3, bias=False)", [X3]), ("LayerNorm-plain", "LayerNorm(8, elementwise_affine=False)", [X3]),
    ("RMSNorm2", "RMSNorm((6, 8), eps=1e-3)", [X3]), ("GroupNorm4", "GroupNorm(2, 6, bias=False)", [X4]),
    ("LocalResponseNorm", "LocalResponseNorm(3)", [X4]), ("CrossMapLRN2d", "CrossMapLRN2d(3)", [X4]),
    ("Embedding", "Embedding(9, 5, padding_idx=-2)", [IDX]), ("Embedding-norm", "Embedding(9, 5, max_norm=1.0, norm_type=1.0)", [IDX]),
    ("EmbeddingBag", "EmbeddingBag(9, 5, mode='sum', padding_idx=1)", [IDX]), ("EmbeddingBag-max", "EmbeddingBag(9, 5, mode='max')", [IDX]),
    *[(f"{kind}Pad{n}d", f"{kind}Pad{n}d(1)", [x]) for kind in ("Zero", "Circular", "Reflection", "Replication")
      for n, x in ((1, X3), (2, X4), (3, X5))],
    *[(f"ConstantPad{n}d", f"ConstantPad{n}d(1, 2.5)", [x]) for n, x in ((1, X3), (2, X4), (3, X5))],
    ("Fold", "Fold((4, 5), (2, 2))", [normal(2, 8, 12)]), ("Unfold", "Unfold(3, padding=1)", [X4]),
    ("PixelShuffle", "PixelShuffle(2)", [normal(2, 8, 3, 3)]), ("PixelUnshuffle", "PixelUnshuffle(2)", [X4]),
    ("ChannelShuffle", "ChannelShuffle(3)", [X4]),
    ("Upsample", "Upsample(scale_factor=(1.5, 2.0), mode='bilinear')", [X4]), ("Upsample-size", "Upsample(size=11)", [X3]),
    ("UpsamplingNearest2d", "UpsamplingNearest2d(scale_factor=2)", [X4]), ("UpsamplingBilinear2d", "UpsamplingBilinear2d((5, 5))", [X4]),
    ("CosineSimilarity", "CosineSimilarity(dim=0)", [X2, X2[::-1].copy()]), ("PairwiseDistance", "PairwiseDistance(1.0, keepdim=True)", [X2, X2 * 2]),
    ("RNN", "RNN(8, 5, 2, nonlinearity='relu', bidirectional=True)", [X3]), ("RNN-tanh", "RNN(8, 5, bias=False)", [X3]),
    ("LSTM", "LSTM(8, 5, 2, batch_first=True, dropout=0.4)", [X3]), ("LSTM-proj", "LSTM(8, 5, proj_size=3, bidirectional=True)", [X3]),
    ("LSTM-unbatched", "LSTM(8, 5)", [X3[0]]), ("GRU", "GRU(8, 5, 2, bidirectional=True, batch_first=True)", [X3]), ("GRU-unbatched", "GRU(8, 5)", [X3[0]]),
    ("RNNCell", "RNNCell(6, 5, nonlinearity='relu')", [X2]), ("LSTMCell", "LSTMCell(6, 5)", [X2]), ("GRUCell", "GRUCell(6, 5, bias=False)", [X2]),
    ("GRUCell-h", "GRUCell(6, 5)", [X2, normal(4, 5)]), ("LSTMCell-1d", "LSTMCell(6, 5)", [X2[0]]),
    ("MultiheadAttention", "MultiheadAttention(8, 2)", [X3, X3, X3]),
    ("MultiheadAttention-kv", "MultiheadAttention(8, 4, kdim=6, vdim=5, add_bias_kv=True, batch_first=True)", [normal(2, 3, 8), normal(2, 7, 6), normal(2, 7, 5)]),
    ("MultiheadAttention-zero", "MultiheadAttention(8, 2, bias=False, add_zero_attn=True, dropout=0.2)", [X3[0], X3[1], X3[1]]),
    ("TransformerEncoderLayer", "TransformerEncoderLayer(8, 2, 16)", [X3]),
    ("TransformerEncoderLayer-first", "TransformerEncoderLayer(8, 2, 16, activation='gelu', norm_first=True, batch_first=True, bias=False)", [X3]),
    ("TransformerDecoderLayer", "TransformerDecoderLayer(8, 2, 16, dropout=0.0)", [X3, normal(5, 6, 8)]),
    ("TransformerEncoder", "TransformerEncoder(TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, LayerNorm(8))", [X3]),
    ("TransformerDecoder", "TransformerDecoder(TransformerDecoderLayer(8, 2, 16), 2)", [X3, normal(5, 6, 8)]),
    ("Transformer", "Transformer(8, 2, 1, 1, 16, dropout=0.1)", [X3, normal(5, 6, 8)]),
    ("Sequential", "Sequential(Linear(6, 4), ReLU(), Sequential(Linear(4, 4), Dropout()))", [X2]),
    ("AdaptiveLogSoftmaxWithLoss", "AdaptiveLogSoftmaxWithLoss(6, 10, [3, 6], div_value=2.0)", [X2, integers(4, high=10)]),
    ("L1Loss", "L1Loss()", [X2, X2 * 2]), ("MSELoss", "MSELoss(reduction='sum')", [X2, X2 * 2]), ("SmoothL1Loss", "SmoothL1Loss(beta=0.5)", [X2, X2 * 2]),
    ("HuberLoss", "HuberLoss(delta=0.5)", [X2, X2 * 2]), ("KLDivLoss", "KLDivLoss(reduction='batchmean')", [X2, np.abs(X2)]),
    ("BCEWithLogitsLoss", "BCEWithLogitsLoss()", [X2, uniform(4, 6)]), ("BCELoss", "BCELoss()", [uniform(4, 6), uniform(4, 6)]),
    ("CrossEntropyLoss", "CrossEntropyLoss(label_smoothing=0.1)", [X2, integers(4, high=6)]), ("NLLLoss", "NLLLoss(ignore_index=2)", [X2, integers(4, high=6)]),
    ("PoissonNLLLoss", "PoissonNLLLoss()", [X2, np.abs(X2)]), ("GaussianNLLLoss", "GaussianNLLLoss()", [X2, X2 * 2, np.abs(X2)]),
    ("CosineEmbeddingLoss", "CosineEmbeddingLoss()", [X2, X2 + 1, np.ones(4, np.float32)]), ("HingeEmbeddingLoss", "HingeEmbeddingLoss()", [X2, np.sign(X2)]),
    ("MarginRankingLoss", "MarginRankingLoss(0.3)", [X2, X2[::-1].copy(), np.ones((4, 6), np.float32)]), ("MultiMarginLoss", "MultiMarginLoss()", [X2, integers(4, high=6)]),
    ("SoftMarginLoss", "SoftMarginLoss()", [X2, np.sign(X2).astype(np.int64)]), ("MultiLabelSoftMarginLoss", "MultiLabelSoftMarginLoss()", [X2, uniform(4, 6)]),
    ("TripletMarginLoss", "TripletMarginLoss()", [X2, X2 + 1, X2 * 2]), ("TripletMarginWithDistanceLoss", "TripletMarginWithDistanceLoss()", [X2, X2 + 1, X2 * 2]),
    ("LinearCrossEntropyLoss", "LinearCrossEntropyLoss(6, 5)", [X2, integers(4, high=5)]),
]
BY_NAME = {name: (source, arrays) for name, source, arrays in LAYERS}


def build(mod: Any, source: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval(source, {name: getattr(mod.nn, name) for name in mod.nn.modules.__all__})  # noqa: S307


@pytest.mark.parametrize("name", BY_NAME)
def test_layer(name: str) -> None:
    source, arrays = BY_NAME[name]

    def run(m: Any, *tensors: Any) -> Any:
        layer = build(m, source)
        out = layer(*tensors)
        return [repr(layer), list(layer.state_dict()), dict(layer.state_dict()._metadata), [n for n, _ in layer.named_modules()],
                [p.detach().clone() for p in layer.parameters()], out, [b.clone() for b in layer.buffers() if b is not None]]

    check(run, *arrays, tol=1e-3 if name == "CrossMapLRN2d" else 2e-4)


@pytest.mark.parametrize("name", [n for n, (_, a) in BY_NAME.items() if "Loss" not in n and "Embedding" not in n])
def test_layer_in_eval(name: str) -> None:
    source, arrays = BY_NAME[name]
    check(lambda m, *tensors: build(m, source).eval()(*tensors), *arrays, tol=1e-3 if name == "CrossMapLRN2d" else 2e-4)


@pytest.mark.parametrize("name", [n for n, (s, _) in BY_NAME.items() if any(k in n for k in (
    "Linear", "Conv", "Norm", "LSTM", "GRU", "RNN", "Attention", "Transformer", "PReLU", "Sequential"))])
def test_parameter_gradients(name: str) -> None:
    source, arrays = BY_NAME[name]

    def run(m: Any, *tensors: Any) -> Any:
        layer = build(m, source)
        out = layer(*tensors)
        while not isinstance(out, m.Tensor):
            out = out[0]
        (out * m.from_numpy(np.cos(np.arange(out.numel())).reshape(out.shape)).to(out.dtype)).sum().backward()
        return [p.grad for p in layer.parameters()]

    check(run, *arrays, tol=5e-4)


def test_every_public_layer_is_here() -> None:
    tested = {source.split("(")[0] for source, _ in BY_NAME.values()}
    elsewhere = {"Module", "Container", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict", "MaxUnpool1d", "MaxUnpool2d",
                 "MaxUnpool3d", "NLLLoss2d", "CTCLoss", "MultiLabelMarginLoss", "RNNBase", "RNNCellBase", "LinearCrossEntropyOptions"}
    missing = {n for n in torch.nn.modules.__all__ if not n.startswith("Lazy")} - tested - elsewhere
    assert missing == set()
    assert set(torch.nn.modules.__all__) <= set(dir(ft.nn))


@pytest.mark.parametrize("name", ["Linear", "LSTM", "Transformer", "BatchNorm2d", "MultiheadAttention-kv"])
def test_copies_and_pickles(name: str) -> None:
    layer = build(ft, BY_NAME[name][0])
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):  # noqa: S301
        assert repr(twin) == repr(layer)
        for (ka, a), (kb, b) in zip(layer.state_dict().items(), twin.state_dict().items(), strict=True):
            assert ka == kb
            assert a.data_ptr() != b.data_ptr()
            np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


LAZY = [("LazyLinear(5)", X2), ("LazyConv1d(4, 3)", X3), ("LazyConv2d(4, 3, bias=False)", X4), ("LazyConv3d(2, 2)", X5),
        ("LazyConvTranspose1d(4, 3)", X3), ("LazyConvTranspose2d(4, 3, groups=2)", X4), ("LazyConvTranspose3d(2, 2)", X5),
        ("LazyBatchNorm1d()", X2), ("LazyBatchNorm2d()", X4), ("LazyBatchNorm3d()", X5), ("LazyInstanceNorm1d()", X3),
        ("LazyInstanceNorm2d()", X4), ("LazyInstanceNorm3d()", X5)]


@pytest.mark.parametrize(("source", "x"), LAZY)
def test_lazy(source: str, x: np.ndarray) -> None:
    def run(m: Any, t: Any) -> Any:
        layer = build(m, source)
        before = [repr(layer), list(layer.state_dict()), layer.has_uninitialized_params()]
        out = layer(t)
        return [*before, out, type(layer).__name__, repr(layer), [p.detach().clone() for p in layer.parameters()]]

    check(run, x, tol=2e-4)


def test_lazy_errors_and_loading() -> None:
    check(lambda m: build(m, "LazyLinear(5)").weight.shape)

    def load(m: Any) -> Any:
        lazy, full = build(m, "LazyLinear(5)"), build(m, "Linear(6, 5)")
        lazy.load_state_dict(full.state_dict())
        return lazy.weight, lazy.has_uninitialized_params()

    check(load)


@pytest.mark.parametrize("source", [
    "Linear(2)", "Conv2d(3, 4, 3, groups=2)", "Conv2d(4, 4, 3, padding='valid', padding_mode='x')", "Conv2d(4, 4, 3, padding='same', stride=2)",
    "Conv2d(4, 4, 3, padding='x')", "ConvTranspose2d(4, 4, 3, padding_mode='reflect')", "Dropout(2.0)", "Hardtanh(2, 1)", "GroupNorm(3, 4)",
    "LSTM(4, 3, proj_size=3)", "RNN(4, 3, nonlinearity='x')", "GRU(4, 3, proj_size=1)", "LSTM(4, 0)", "LSTM(4.0, 3)", "LSTM(4, 3, dropout=2)",
    "Embedding(4, 3, padding_idx=9)", "MultiheadAttention(6, 4)", "MultiheadAttention(0, 4)", "TripletMarginLoss(margin=-1.0)",
    "AdaptiveLogSoftmaxWithLoss(6, 10, [])", "AdaptiveLogSoftmaxWithLoss(6, 10, [6, 3])", "Unflatten('a', 2)", "Unflatten(1, 2)",
    "Unflatten(1.0, 2)", "FractionalMaxPool2d(2)", "FractionalMaxPool2d(2, output_ratio=2.0)", "MultiMarginLoss(p=3)", "Bilinear(0, 1, 1)",
])
def test_bad_arguments(source: str) -> None:
    check(lambda m: build(m, source), message="Conv2d(4, 4, 3, padding" not in source)


@pytest.mark.parametrize(("source", "shape"), [
    ("BatchNorm1d(6)", (2, 6, 3, 3)), ("BatchNorm2d(6)", (2, 6)), ("InstanceNorm1d(6)", (6,)), ("InstanceNorm1d(5, affine=True)", (2, 6, 3)),
    ("LSTM(4, 3)", (5, 2, 6)), ("LSTM(4, 3)", (5,)), ("GRU(4, 3)", (5, 2, 2, 6)), ("RNN(4, 3)", (5, 5, 5, 5)), ("LSTMCell(4, 3)", (1, 1, 4)), ("RNNCell(4, 3)", (1, 1, 4)),
    ("Softmax2d()", (3, 3)), ("CircularPad1d(1)", (3,)), ("Linear(6, 2)", (4, 5)), ("Conv2d(6, 2, 3)", (2, 5, 8, 8)), ("LayerNorm(5)", (2, 4)),
])
def test_bad_inputs(source: str, shape: tuple[int, ...]) -> None:
    check(lambda m, x: build(m, source)(x), normal(*shape))
