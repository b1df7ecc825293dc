"""Recurrent networks: one step of each cell, and whole sequences, padded or packed.

Enters: (time, batch, features) or packed rows with the batch size of each step, initial states, a flat list of weights.
Leaves: the outputs of the last layer and every layer's final state. The input's product is taken once for all steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import frankentorch as torch
from frankentorch.nn.functional._support import rounds_once
from frankentorch.nn.functional.dropout import dropout
from frankentorch.nn.functional.linear import linear

State = tuple[Any, ...]


def _rnn_step(function: Callable[[Any], Any], pre: Any, state: State, weights: Sequence[Any]) -> State:
    return (function(linear(state[0], weights[0], weights[1]) + pre),)


def _lstm_step(pre: Any, state: State, weights: Sequence[Any]) -> State:
    h, c = state
    i, f, g, o = (linear(h, weights[0], weights[1]) + pre).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return (h if weights[2] is None else linear(h, weights[2])), c


def _gru_step(pre: Any, state: State, weights: Sequence[Any]) -> State:
    h = state[0]
    i_r, i_z, i_n = pre.chunk(3, -1)
    h_r, h_z, h_n = linear(h, weights[0], weights[1]).chunk(3, -1)
    n = torch.tanh(i_n + torch.sigmoid(h_r + i_r) * h_n)
    return ((h - n) * torch.sigmoid(h_z + i_z) + n,)


_STEPS: dict[str, Callable[[Any, State, Sequence[Any]], State]] = {
    "LSTM": _lstm_step, "GRU": _gru_step,
    "RNN_TANH": lambda pre, state, w: _rnn_step(torch.tanh, pre, state, w),
    "RNN_RELU": lambda pre, state, w: _rnn_step(torch.relu, pre, state, w),
}


def _cell(mode: str, input: Any, state: State, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> State:
    return _STEPS[mode](linear(input, w_ih, b_ih), state, (w_hh, b_hh, None))


@rounds_once
def rnn_tanh_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """tanh(W_ih x + b_ih + W_hh h + b_hh)."""
    return _cell("RNN_TANH", input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


@rounds_once
def rnn_relu_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """relu(W_ih x + b_ih + W_hh h + b_hh)."""
    return _cell("RNN_RELU", input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


@rounds_once
def gru_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """One step of a gated recurrent unit (Cho et al., 2014); gates in the order reset, update, new."""
    return _cell("GRU", input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


def lstm_cell(input: Any, hx: Sequence[Any], w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> tuple[Any, Any]:
    """One step of long short-term memory (Hochreiter and Schmidhuber, 1997); gates in the order input, forget, cell, output."""

    @rounds_once
    def whole(x: Any, h: Any, c: Any, w1: Any, w2: Any, b1: Any, b2: Any) -> State:
        return _cell("LSTM", x, (h, c), w1, w2, b1, b2)

    h, c = whole(input, hx[0], hx[1], w_ih, w_hh, b_ih, b_hh)
    return h, c


def _run_padded(step: Callable, pre: Any, state: State, weights: Sequence[Any], reverse: bool) -> tuple[Any, State]:
    steps = list(pre.unbind(0))
    outputs = []
    for row in reversed(steps) if reverse else steps:
        state = step(row, state, weights)
        outputs.append(state[0])
    return torch.stack(outputs[::-1] if reverse else outputs), state


def _run_packed(step: Callable, pre: Any, state: State, weights: Sequence[Any], reverse: bool, sizes: list[int]) -> tuple[Any, State]:
    rows = list(pre.split(sizes))
    outputs: list[Any] = []
    if reverse:
        now = tuple(s[:sizes[-1]] for s in state)
        for t in range(len(sizes) - 1, -1, -1):
            have = now[0].size(0)
            if sizes[t] > have:
                now = tuple(torch.cat([a, s[have:sizes[t]]]) for a, s in zip(now, state, strict=True))
            now = step(rows[t], now, weights)
            outputs.append(now[0])
        return torch.cat(outputs[::-1]), now
    finished: list[State] = []
    now = state
    for t, size in enumerate(sizes):
        if size < now[0].size(0):
            finished.append(tuple(a[size:] for a in now))
            now = tuple(a[:size] for a in now)
        now = step(rows[t], now, weights)
        outputs.append(now[0])
    finished.append(now)
    return torch.cat(outputs), tuple(torch.cat(parts) for parts in zip(*finished[::-1], strict=True))


def _layer_weights(params: Sequence[Any], has_biases: bool, layers: int, has_projection: bool) -> list[tuple]:
    """(w_ih, b_ih, (w_hh, b_hh, w_hr)) of each layer and direction, from torch's flat order."""
    per = (4 if has_biases else 2) + has_projection
    out = []
    for i in range(layers):
        w_ih, w_hh, *rest = params[i * per:(i + 1) * per]
        b_ih, b_hh = (rest.pop(0), rest.pop(0)) if has_biases else (None, None)
        out.append((w_ih, b_ih, (w_hh, b_hh, rest[0] if has_projection else None)))
    return out


def _recur(mode: str, data: Any, sizes: list[int] | None, states: State, params: Sequence[Any], has_biases: bool, num_layers: int,
           dropout_p: float, train: bool, bidirectional: bool) -> tuple[Any, State]:
    directions = 2 if bidirectional else 1
    projected = mode == "LSTM" and states[0].size(2) != states[1].size(2)
    layers = _layer_weights(params, has_biases, num_layers * directions, projected)
    low = data.dtype if data.dtype in (torch.bfloat16, torch.float16) else None
    if low is not None:
        # the whole network is one rounding unit
        data, states = data.float(), tuple(s.float() for s in states)
        layers = [(w.float(), None if b is None else b.float(), tuple(None if v is None else v.float() for v in rest))
                  for w, b, rest in layers]
    finals: list[State] = []
    for layer in range(num_layers):
        outputs = []
        for direction in range(directions):
            at = layer * directions + direction
            w_ih, b_ih, weights = layers[at]
            pre = linear(data, w_ih, b_ih)
            start = tuple(s[at] for s in states)
            run = (_run_padded(_STEPS[mode], pre, start, weights, direction == 1) if sizes is None
                   else _run_packed(_STEPS[mode], pre, start, weights, direction == 1, sizes))
            outputs.append(run[0])
            finals.append(run[1])
        data = outputs[0] if directions == 1 else torch.cat(outputs, -1)
        if train and dropout_p > 0 and layer < num_layers - 1:
            data = dropout(data, dropout_p)
    ends = tuple(torch.stack(parts) for parts in zip(*finals, strict=True))
    if low is not None:
        data, ends = data.to(low), tuple(e.to(low) for e in ends)
    return data, ends


def run_network(mode: str, *args: Any) -> tuple[Any, ...]:
    """torch's two call forms: (input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first) and
    (data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional); returns (output, *final states)."""
    if isinstance(args[2], (list, tuple)) and not isinstance(args[3], (list, tuple)):
        input, hx, params, has_biases, num_layers, p, train, bidirectional, batch_first = args
        states = tuple(hx) if mode == "LSTM" else (hx,)
        data = input.transpose(0, 1) if batch_first else input
        out, ends = _recur(mode, data, None, states, params, has_biases, num_layers, p, train, bidirectional)
        return (out.transpose(0, 1) if batch_first else out, *ends)
    data, batch_sizes, hx, params, has_biases, num_layers, p, train, bidirectional = args
    states = tuple(hx) if mode == "LSTM" else (hx,)
    out, ends = _recur(mode, data, [int(n) for n in batch_sizes.tolist()], states, params, has_biases, num_layers, p, train, bidirectional)
    return (out, *ends)


def lstm(*args: Any) -> tuple[Any, Any, Any]:
    """`run_network` with LSTM cells: (output, h_n, c_n)."""
    out, h, c = run_network("LSTM", *args)
    return out, h, c


def gru(*args: Any) -> tuple[Any, Any]:
    """`run_network` with GRU cells: (output, h_n)."""
    out, h = run_network("GRU", *args)
    return out, h


def rnn_tanh(*args: Any) -> tuple[Any, Any]:
    """`run_network` with tanh cells: (output, h_n)."""
    out, h = run_network("RNN_TANH", *args)
    return out, h


def rnn_relu(*args: Any) -> tuple[Any, Any]:
    """`run_network` with relu cells: (output, h_n)."""
    out, h = run_network("RNN_RELU", *args)
    return out, h
