"""Whole models, made and trained from the same seed on both libraries: the same draws, the same losses step by step."""

from __future__ import annotations

from typing import Any

import pytest
from nn_oracle import check


def cnn(m: Any) -> tuple[Any, Any, Any, Any]:
    nn = m.nn
    model = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2), nn.Flatten(),
                          nn.Linear(6 * 16, 10))
    return model, m.randn(8, 1, 8, 8), m.randint(0, 10, (8,)), nn.CrossEntropyLoss()


def encoder(m: Any) -> tuple[Any, Any, Any, Any]:
    nn = m.nn
    layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.1, activation="gelu")
    model = nn.Sequential(nn.Embedding(11, 16), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.LayerNorm(16), nn.Linear(16, 11))
    tokens = m.randint(0, 11, (6, 3))
    return model, tokens, tokens.reshape(-1), lambda out, y: nn.functional.cross_entropy(out.reshape(-1, 11), y)


def recurrent(m: Any) -> tuple[Any, Any, Any, Any]:
    nn = m.nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(5, 8, 2, dropout=0.3, bidirectional=True)
            self.head = nn.Linear(16, 2)

        def forward(self, x: Any) -> Any:
            return self.head(self.rnn(x)[0][-1])

    return Net(), m.randn(6, 4, 5), m.randn(4, 2), nn.HuberLoss()


@pytest.mark.parametrize("make", [cnn, encoder, recurrent])
@pytest.mark.parametrize("optimizer", ["SGD(params, lr=0.05, momentum=0.9)", "AdamW(params, lr=1e-3)"])
def test_losses_step_by_step(make: Any, optimizer: str) -> None:
    def run(m: Any) -> Any:
        model, x, y, loss_of = make(m)
        opt = eval("m.optim." + optimizer, {"m": m, "params": model.parameters()})  # noqa: S307
        losses = []
        for _ in range(5):
            opt.zero_grad()
            loss = loss_of(model(x), y)
            loss.backward()
            opt.step()
            losses.append(loss.detach().clone())
        model.eval()
        return losses, loss_of(model(x), y).detach(), m.rand(3)

    check(run, tol=2e-3)
