"""Random programs through the passes: whatever they are given, no bit changes and the IR stays valid."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from xdsl.context import Context

from frankentorch import dtypes
from frankentorch.ir import build, pipeline, verify
from frankentorch.ir.interp import Memory, convert, interpret, store
from frankentorch.ir.passes.cse import Cse
from frankentorch.ir.passes.dce import Dce
from frankentorch.ir.passes.fuse import Fuse
from frankentorch.ir.passes.simplify import Simplify
from frankentorch.ops.record import Sig, leaf_sig, make_sig
from frankentorch.ops.table import ROWS
from frankentorch.ops.types import TensorType, scalar_type, tensor_type

SPECIAL = [0.0, -0.0, 1.0, -1.0, 2.5, float("inf"), float("-inf"), float("nan"), 1e-45, -3e38, 0.1, 7.0]
DTYPES = [dtypes.float32, dtypes.float64, dtypes.float16, dtypes.bfloat16, dtypes.int32, dtypes.int64, dtypes.int8, dtypes.uint8, dtypes.bool_]
SHAPES = [(4, 6), (2, 3, 4), (24,), (1, 5), ()]


class Writer:
    """Writes a random program, instruction by instruction."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.instrs: list[tuple[Sig, tuple[int, ...]]] = []
        self.types: list[TensorType] = []
        self.numbers: list[Any] = []
        self.pending: list[tuple[TensorType, Any]] = []

    def push(self, sig: Sig, args: tuple[int, ...]) -> int:
        self.instrs.append((sig, args))
        self.types.extend(sig.outs)
        return len(self.types) - len(sig.outs)

    def number(self, dtype: dtypes.dtype) -> int:
        value: Any = self.random.choice([0, 0, 1, -1, 7])
        if dtype.is_floating_point:
            value = self.random.choice([0.0, 0.0, -0.0, 1.0, -1.0, 0.3])
        return self.fixed[dtype, repr(value)]

    def program(self, length: int) -> build.Recorded:
        r = self.random
        for _ in range(3):
            self.push(leaf_sig(tensor_type(r.choice(DTYPES), r.choice(SHAPES))), ())
        tensors = len(self.types)
        self.fixed: dict[tuple[dtypes.dtype, str], int] = {}
        for d in DTYPES:
            for v in [0.0, -0.0, 1.0, -1.0, 0.5, 0.3] if d.is_floating_point else [0, 1, -1, 2, 3, 7]:
                self.fixed[d, repr(v)] = self.push(leaf_sig(scalar_type(d, v)), ())
                self.numbers.append(v)
        self.values = list(range(tensors))
        while len(self.values) < length:
            try:
                self.values.append(self.step())
            except (RuntimeError, TypeError, ValueError, IndexError):
                continue
        read = {a for _, args in self.instrs for a in args}
        outputs = r.sample(self.values, 3) + [v for v in self.values if v not in read]
        return build.Recorded(self.instrs, [sig.outs[0] for sig, _ in self.instrs if not sig.types and sig.row.name == "leaf"], outputs, self.numbers)

    def pick(self) -> int:
        return self.random.choice(self.values[-6:] if self.random.random() < 0.7 else self.values)

    def step(self) -> int:
        return self.random.choice([self.unary, self.binary, self.binary, self.binary, self.convert, self.convert, self.view, self.view, self.copy, self.reduce, self.again])()

    def unary(self) -> int:
        x = self.pick()
        t = self.types[x]
        name = self.random.choice(["neg", "neg", "abs", "positive", "sqrt"] if t.dtype.is_floating_point else ["bitwise_not", "bitwise_not", "positive"])
        return self.push(make_sig(ROWS[name], (t,), ()), (x,))

    def binary(self) -> int:
        x = self.pick()
        t = self.types[x]
        same = [v for v in self.values if self.types[v].dtype is t.dtype and self.types[v].shape == t.shape]
        y = self.number(t.dtype) if self.random.random() < 0.7 else self.random.choice(same)
        if t.dtype is dtypes.bool_:
            return self.push(make_sig(ROWS["logical_and"], (t, self.types[y]), ()), (x, y))
        name = self.random.choice(["add", "sub", "mul", "maximum"] + ["true_divide"] * t.dtype.is_floating_point)
        args = (x, y) if self.random.random() < 0.7 else (y, x)
        return self.push(make_sig(ROWS[name], tuple(self.types[a] for a in args), ()), args)

    def convert(self) -> int:
        x = self.pick()
        return self.push(make_sig(ROWS["to"], (self.types[x],), (self.random.choice(DTYPES),)), (x,))

    def copy(self) -> int:
        x = self.pick()
        return self.push(make_sig(ROWS["clone"], (self.types[x],), (self.types[x].strides,)), (x,)) if self.types[x].dense else self.view()

    def reduce(self) -> int:
        x = self.pick()
        t = self.types[x]
        dims = tuple(sorted(self.random.sample(range(t.ndim), self.random.randint(1, t.ndim))))
        return self.push(make_sig(ROWS["amax"], (t,), (dims, self.random.random() < 0.5)), (x,))

    def again(self) -> int:
        sig, args = self.random.choice([i for i in self.instrs if i[1]])
        return self.push(sig, args)

    def view(self) -> int:
        r, x = self.random, self.pick()
        t = self.types[x]
        dims = list(range(t.ndim))
        kind = r.choice(["permute", "permute", "view", "unsqueeze", "squeeze", "slice", "slice", "flip_view", "select", "expand", "as_strided"])
        if kind == "permute":
            r.shuffle(dims)
            statics: tuple[Any, ...] = (tuple(dims),)
        elif kind == "view":
            statics = (r.choice([s for s in [(t.numel,), (1, t.numel), (2, t.numel // 2), t.shape] if np.prod(s) == t.numel]),)
        elif kind == "expand":
            statics = ((2, *t.shape) if r.random() < 0.3 else t.shape,)
        elif kind == "unsqueeze":
            statics = (r.randint(0, t.ndim),)
        elif kind == "squeeze":
            statics = (tuple(d for d in dims if t.shape[d] == 1),)
        elif kind == "as_strided":
            base = r.choice([t, *[self.types[v] for v in self.values if self.types[v].dense]])
            room = 1 + sum((n - 1) * s for n, s in zip(t.shape, t.strides, strict=True)) - base.numel
            statics = (base.shape, base.strides, r.randint(0, room))
        elif kind == "flip_view":
            statics = ((r.choice(dims),),)
        else:
            d = r.choice(dims)
            start = r.randrange(t.shape[d])
            statics = (d, start, t.shape[d] - start, 1) if kind == "slice" else (d, start)
        if t.numel > 200:
            raise ValueError("large enough")
        return self.push(make_sig(ROWS[kind], (t,), statics), (x,))


def leaves_of(recorded: build.Recorded) -> list[Memory]:
    out = []
    for t in recorded.leaves[:len(recorded.leaves) - len(recorded.numbers)]:
        values = np.resize(np.array(SPECIAL, np.float64 if t.dtype.is_floating_point else np.float64), t.numel).reshape(t.shape)
        clean = values if t.dtype.is_floating_point else np.arange(t.numel).reshape(t.shape) * 37 % 251 - 100
        with np.errstate(all="ignore"):
            out.append(store(convert(clean, t.dtype), t))
    return out


def bits(memory: Memory) -> tuple[Any, ...]:
    x = np.asarray(memory.array)
    if x.dtype.kind not in "iub":
        x = np.where(np.isnan(x), np.full_like(x, np.nan), x)
    return str(x.dtype), memory.type, x.tobytes()


def meaning(recorded: build.Recorded, leaves: list[Memory]) -> list[Any]:
    slots = interpret(recorded.instrs, [*leaves, *recorded.numbers])
    return [bits(slots[k]) for k in recorded.outputs]


@pytest.mark.parametrize("seed", range(80))
def test_random_programs_keep_their_bits(seed: int) -> None:
    recorded = Writer(seed).program(70)
    leaves = leaves_of(recorded)
    due = meaning(recorded, leaves)
    module = build.to_module(recorded.instrs, recorded.outputs, None, recorded.numbers)
    assert meaning(build.from_module(module), leaves) == due
    for step in (Simplify, Cse, Dce, Simplify, Fuse):
        step().apply(Context(), module)
        verify.module(module)
        assert meaning(build.from_module(module), leaves) == due, step.name
    text = str(module)
    again = build.parse(text, CONTEXT)
    assert str(again) == text
    assert meaning(build.from_module(again), leaves) == due
    pipeline.run(again, start="fused")
    again.verify()


CONTEXT = build.context()
