"""The `ft` dialect and its passes: FileCheck files, round trips, and that no pass changes a bit."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filecheck.finput import FInput
from filecheck.matcher import Matcher
from filecheck.options import Options
from filecheck.parser import Parser as CheckParser
from filecheck.parser import pattern_for_opts
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import VerifyException

import frankentorch as torch
import frankentorch.nn.functional as F
from frankentorch import dtypes
from frankentorch.cli.opt import main as opt
from frankentorch.ir import build, pipeline, verify
from frankentorch.ir.capture import capture, replay
from frankentorch.ir.dialect import RowOp, op_class, static, value_type
from frankentorch.ir.interp import interpret, store
from frankentorch.ir.passes.cse import Cse
from frankentorch.ir.passes.dce import Dce
from frankentorch.ir.passes.decompose import Decompose
from frankentorch.ir.passes.fuse import Fuse
from frankentorch.ir.passes.grad import Grad
from frankentorch.ir.passes.lower_to_loops import LowerToLoops
from frankentorch.ir.passes.simplify import Simplify
from frankentorch.ir.template_op import LoopsOp
from frankentorch.knobs import scoped
from frankentorch.lower.program import build_plan
from frankentorch.ops.call import is_tensor
from frankentorch.ops.record import leaf_sig, make_sig
from frankentorch.ops.table import ROWS, Kind
from frankentorch.ops.types import scalar_type, tensor_type
from frankentorch.runtime import program as runtime_program
from frankentorch.runtime.jit import current_tier

FILES = sorted((Path(__file__).parent / "filecheck" / "ft").glob("*.mlir"))


def run_line(path: Path) -> str:
    """What a file's RUN line prints, up to the pipe."""
    command = re.fullmatch(r"// RUN: ft opt (.*?) \| filecheck %s", path.read_text().splitlines()[0])
    assert command is not None
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        opt([word.replace("%s", str(path)) for word in shlex.split(command[1])])
    return out.getvalue()


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_filecheck(path: Path) -> None:
    options = Options(match_filename=str(path))
    checks = CheckParser(options, io.StringIO(path.read_text()), *pattern_for_opts(options))
    output: Any = run_line(path)
    assert Matcher(options, FInput(path.name, output), checks).run() == 0


# Programs ---------------------------------------------------------------------------------------------------------------------
def mlp(x: Any, w1: Any, b1: Any, w2: Any, b2: Any, y: Any) -> Any:
    return F.cross_entropy(F.gelu(x @ w1 + b1) @ w2 + b2, y)


def conv_net(x: Any, w: Any, b: Any, v: Any) -> Any:
    h = F.max_pool2d(torch.relu(F.conv2d(x, w, b, padding=1)), 2)
    return (F.avg_pool2d(h, 2).flatten(1) @ v).pow(2).mean()


def attention(x: Any, q: Any, k: Any, g: Any) -> Any:
    h = F.layer_norm(x, (x.shape[-1],), g)
    s = torch.softmax((h @ q) @ (h @ k).transpose(-2, -1) * 0.125, -1)
    return ((s @ h) * torch.sigmoid(h) - torch.tanh(x.permute(0, 2, 1).permute(0, 2, 1))).var()


def low_precision(x: Any, w: Any) -> Any:
    return (F.silu(x @ w).float() * 1.0).log_softmax(-1)[:, 1].sum()


def sorted_scan(x: Any, i: Any) -> Any:
    return (torch.cumsum(x.sort(1)[0], 1) * x[i]).sum() + x.cummax(0)[0].sum()


def data(*shape: int, dtype: Any = None) -> Any:
    t = torch.randn(shape)
    return t if dtype is None else t.to(dtype)


def programs() -> dict[str, tuple[Any, list[Any], list[bool]]]:
    """A function, its arguments, and which of them to differentiate by."""
    torch.manual_seed(7)
    label = torch.tensor([0, 2, 1, 2, 0, 1, 1, 2])
    return {
        "mlp": (mlp, [data(8, 4), data(4, 16), data(16), data(16, 3), data(3), label], [False, True, True, True, True, False]),
        "conv": (conv_net, [data(2, 3, 8, 8), data(4, 3, 3, 3), data(4), data(16, 2)], [True, True, True, True]),
        "attention": (attention, [data(2, 5, 8), data(8, 8), data(8, 8), data(8)], [True, True, True, True]),
        "bf16": (low_precision, [data(4, 6, dtype=torch.bfloat16), data(6, 5, dtype=torch.bfloat16)], [True, True]),
        "scan": (sorted_scan, [data(4, 6), torch.tensor([3, 3, 0, 1])], [True, False]),
    }


NAMES = ["mlp", "conv", "attention", "bf16", "scan"]


def captured(name: str) -> tuple[ModuleOp, list[Any], Any]:
    function, args, marks = programs()[name]
    return capture(function, args, marks), args, (function, marks)


def bits(x: Any) -> tuple[Any, ...]:
    """An array as what the contract promises of it: dtype, shape, and bits, all NaNs alike."""
    x = np.asarray(x)
    if x.dtype.kind not in "iub":
        x = np.where(np.isnan(x), np.full_like(x, np.nan), x)
    return str(x.dtype), x.shape, x.tobytes()


def array(t: Any) -> np.ndarray:
    return np.array(t._concrete())


def meaning(module: ModuleOp, args: Sequence[Any]) -> list[Any]:
    """What the reference interpreter gives for a module of stages ft to fused."""
    copy = module.clone()
    Decompose().apply(Context(), copy)
    recorded = build.from_module(copy)
    leaves = [store(array(a), t) if is_tensor(a) else a for a, t in zip(args, recorded.leaves, strict=False)]
    slots = interpret(recorded.instrs, [*leaves, *recorded.numbers])
    return [bits(slots[k].array) for k in recorded.outputs]


def again(module: ModuleOp) -> ModuleOp:
    """Through text: what is printed parses, verifies and prints the same."""
    text = str(module)
    parsed = build.parse(text)
    verify.module(parsed)
    assert str(parsed) == text
    return parsed


# Round trips ------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, list[int]]]:
    """The instructions and live slots of every window that runs."""
    seen: list[tuple[Any, list[int]]] = []
    run = runtime_program.execute

    def noting(window: Any, reason: str) -> None:
        live = [k for k, r in enumerate(window.refs) if r is not None and (v := r()) is not None and v.buf is None]
        if live:
            seen.append((list(window.instrs), live))
        run(window, reason)

    monkeypatch.setattr(runtime_program, "execute", noting)
    return seen


@pytest.mark.parametrize("name", NAMES)
def test_recorded_windows_survive_ir_and_text(name: str, windows: list[tuple[Any, list[int]]]) -> None:
    function, args, marks = programs()[name]
    for a, wanted in zip(args, marks, strict=True):
        a._concrete()
        a.requires_grad_(wanted)
    windows.clear()
    function(*args).backward()
    assert sum(len(instrs) for instrs, _ in windows) > 20
    for instrs, live in windows:
        module = build.to_module(instrs, live)
        verify.module(module)
        first = build.from_module(module)
        assert list(first.leaves) == [sig.outs[0] for sig, _ in instrs if sig.row.kind is Kind.LEAF]
        assert [sig for sig, _ in first.instrs if sig.row.kind is not Kind.LEAF] == [sig for sig, _ in instrs if sig.row.kind is not Kind.LEAF]
        assert build.from_module(again(module)) == first
        assert build.from_module(build.to_module(first.instrs, first.outputs)) == first


def test_slots_mean_the_same_after_leaves_move_to_the_front() -> None:
    f32 = tensor_type(dtypes.float32, (3,))
    neg, sub = make_sig(ROWS["neg"], (f32,), ()), make_sig(ROWS["sub"], (f32, f32), ())
    instrs = [(leaf_sig(f32), ()), (neg, (0,)), (leaf_sig(f32), ()), (sub, (1, 2)), (sub, (2, 0))]
    got = build.from_module(build.to_module(instrs, [4, 1]))
    assert got == build.Recorded([(leaf_sig(f32), ()), (leaf_sig(f32), ()), (neg, (0,)), (sub, (2, 1)), (sub, (1, 0))], [f32, f32], [4, 2], [])


@pytest.mark.parametrize("value", [0, 1, -3, True, False, None, 0.0, -0.0, 1e-5, 1e300, -2.5e-7, float("inf"), float("-inf"), 1 - 0.5j, complex(-0.0, float("inf")), "a\"\\\n\x7fé", (), (1, (2.0, "x")),
                                   dtypes.bfloat16, dtypes.complex32])
def test_static_attributes_parse_back(value: Any) -> None:
    from xdsl.parser import Parser

    given = static(value)
    parsed = Parser(build.context(), str(given)).parse_attribute()
    assert parsed == given and repr(parsed.data) == repr(value)  # type: ignore[attr-defined]


def test_equal_python_values_are_different_attributes() -> None:
    assert len({static(v) for v in (1, 1.0, True)}) == 3
    assert static(0.0) != static(-0.0) and static((1, 2)) is static((1, 2))


def test_types_are_interned_and_keep_layout() -> None:
    t = tensor_type(dtypes.float16, (2, 3), (1, 2))
    assert value_type(t) is value_type(t)
    assert str(value_type(t)) == "!ft.tensor<[2, 3], f16, [1, 2]>"
    assert str(value_type(scalar_type(dtypes.float32, 0.5))) == "!ft.scalar<f32, 0.5>"


def test_every_row_has_an_op() -> None:
    for row in ROWS.values():
        cls = op_class(row)
        assert cls.name == f"ft.{row.name}" and cls is op_class(row)
        assert set(cls.get_irdl_definition().properties) == set(row.attrs) | ({"missing"} if row.kind is Kind.COMPOSITE else set())


# Passes -----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_no_pass_changes_a_bit(name: str) -> None:
    module, args, _ = captured(name)
    module = again(module)
    forward = meaning(module, args)
    Grad().apply(Context(), module)
    module = again(module)
    before = meaning(module, args)
    assert before[0] == forward[0] and len(before) > 1
    changed = 0
    for step in (Decompose, Simplify, Cse, Dce, Fuse):
        text = str(module)
        step().apply(Context(), module)
        changed += str(module) != text
        module = again(module)
        assert meaning(module, args) == before, step.name
    assert changed >= 3


@pytest.mark.parametrize("name", NAMES)
def test_gradients_have_the_bits_of_backward(name: str) -> None:
    module, args, (function, marks) = captured(name)
    Grad().apply(Context(), module)
    got = [array(t) for t in replay(module, args)]
    loss = function(*[a.requires_grad_() if m else a for a, m in zip(args, marks, strict=True)])
    loss.backward()
    due = [loss.detach(), *[a.grad for a, m in zip(args, marks, strict=True) if m]]
    assert [bits(g) for g in got] == [bits(array(d)) for d in due] == meaning(module, args)
    types = build.from_module(module)
    made = [t for sig, _ in types.instrs for t in sig.outs]
    assert [made[k] for k in types.outputs] == [d._value.type for d in due]


def test_gradients_of_gradients() -> None:
    """ft-grad's result is IR: its first gradient, summed, differentiates again."""
    def first(x: Any) -> Any:
        return (x.exp() * x).sum()

    x = data(5)
    module = capture(first, [x], [True])
    Grad().apply(Context(), module)

    def second(x: Any) -> Any:
        return replay(module, [x])[1].sum()

    twice = capture(second, [x], [True])
    Grad().apply(Context(), twice)
    got = array(replay(twice, [x])[1])
    e = np.asarray(array(x), np.float64)
    assert np.allclose(got, (e + 2) * np.exp(e), rtol=1e-5)


SPECIAL = [0.0, -0.0, 1.0, -1.0, float("inf"), float("-inf"), float("nan"), 1e-45, -1e-45, 3.4e38, 0.1, -7.75]
FLOATS = ("f32", "f64", "f16", "bf16")


def function_of(dtype: str, body: str) -> ModuleOp:
    n = len(SPECIAL)
    return build.parse(f"func.func @main(%x: !ft.tensor<[{n}], {dtype}>) -> !ft.tensor<[{n}], {dtype}> {{\n" + re.sub(r"T\b", f"!ft.tensor<[{n}], {dtype}>", body) + "\n}")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("body, ops", [
    ("%c = ft.number 1.0 : !ft.scalar<D, 1.0>\n%y = ft.mul(%x, %c) : T\n%z = ft.abs(%y) : T\nfunc.return %z : T", 1),
    ("%c = ft.number 1.0 : !ft.scalar<D, 1.0>\n%y = ft.true_divide(%x, %c) : T\n%z = ft.abs(%y) : T\nfunc.return %z : T", 1),
    ("%c = ft.number 0.0 : !ft.scalar<D, 0.0>\n%y = ft.sub(%x, %c) : T\n%z = ft.neg(%y) : T\nfunc.return %z : T", 1),
    ("%c = ft.number 0.0 : !ft.scalar<D, 0.0>\n%y = ft.add(%x, %c) : T\n%z = ft.neg(%y) : T\nfunc.return %z : T", 3),
    ("%c = ft.number -1.0 : !ft.scalar<D, -1.0>\n%y = ft.mul(%x, %c) : T\n%z = ft.positive(%y) : T\nfunc.return %z : T", 2),
    ("%y = ft.neg(%x) : T\n%w = ft.neg(%y) : T\n%z = ft.sqrt(%w) : T\nfunc.return %z : T", 1),
])
def test_simplify_is_exact_for_special_values(dtype: str, body: str, ops: int) -> None:
    module = function_of(dtype, re.sub(r"\bD\b", dtype, body))
    verify.module(module)
    x = torch.tensor(SPECIAL, dtype=torch.float64).to(next(d for d in dtypes.ALL if getattr(d, "lane", "") == dtype))
    before = meaning(module, [x])
    Simplify().apply(Context(), module)
    assert meaning(module, [x]) == before
    assert len(list(module.walk())) == ops + 3


def test_conversions_that_lose_nothing() -> None:
    """`holds_exactly` against numpy, for every pair, at the edges of each dtype."""
    from frankentorch.ir.passes.simplify import holds_exactly

    reals = [d for d in dtypes.ALL if not d.is_complex and d.category != 0]
    for a in reals:
        edges = [0, 1, *( [dtypes.iinfo(a).min, dtypes.iinfo(a).max, dtypes.iinfo(a).max - 1] if not a.is_floating_point else
                          [dtypes.finfo(a).max, dtypes.finfo(a).min, dtypes.finfo(a).smallest_normal, 1 + dtypes.finfo(a).eps])]
        x = np.array(edges, dtype=object).astype(a.np) if not a.is_floating_point else np.array(edges, np.float64).astype(a.np)
        for b in reals:
            if a.is_floating_point and not b.is_floating_point:
                assert not holds_exactly(a, b)
                continue
            with np.errstate(all="ignore"):
                y = x.astype(b.np)
            if b.is_floating_point:
                exact = all(bool(np.isfinite(float(v))) and int(float(v)) == int(u) for u, v in zip(x, y, strict=True)) if not a.is_floating_point \
                    else all(float(u) == float(v) for u, v in zip(x, y, strict=True))
            else:
                exact = all(int(u) == int(v) for u, v in zip(x, y, strict=True))
            assert holds_exactly(a, b) == exact, (a, b)


# Lowering ---------------------------------------------------------------------------------------------------------------------
COPIES = ("copy", "cat", "as_strided_scatter")


@pytest.mark.parametrize("name", NAMES)
def test_the_runtime_and_the_pipeline_make_the_same_kernels(name: str, windows: list[tuple[Any, list[int]]]) -> None:
    """The planner lowers recorded instructions; fusing and lowering the same instructions as IR gives the same objects."""
    function, args, marks = programs()[name]
    for a, wanted in zip(args, marks, strict=True):
        a._concrete()
        a.requires_grad_(wanted)
    windows.clear()
    function(*args).backward()
    tier = current_tier()
    for instrs, live in windows:
        plan = build_plan(instrs, live, {}, tier, 1)
        module = again(build.to_module(instrs, live))
        Fuse().apply(Context(), module)
        module = again(module)
        LowerToLoops().apply(Context(), module)
        module = again_loops(module)
        made = {o.symbol: o.text for o in pipeline.objects(module)}
        calls = [call for op in module.walk() if isinstance(op, LoopsOp) for call in op.calls.data]
        due = [entry for entry in plan.entries if entry.symbol.startswith("k_") and entry.label not in COPIES]
        assert [c[:4] for c in calls] == [(e.symbol, e.units, e.grain, e.scratch) for e in due]
        assert [[w for w in c[4:] if isinstance(w, int)] for c in calls] == [[w for w in e.words if isinstance(w, int)] for e in due]
        for entry in plan.entries:
            if entry.label not in COPIES:
                assert made.get(entry.symbol) == entry.text, entry.label


def again_loops(module: ModuleOp) -> ModuleOp:
    text = str(module)
    parsed = build.parse(text)
    parsed.verify()
    verify.program(parsed)
    assert str(parsed) == text
    return parsed


def test_every_stage_leads_to_the_same_objects() -> None:
    module, _, _ = captured("attention")
    whole = pipeline.digest(pipeline.run(module.clone()))
    with scoped(verify=True):
        for stage in ("grad", "fused", "loops"):
            at = build.parse(str(pipeline.run(module.clone(), stage)))
            assert pipeline.digest(pipeline.run(at, start=stage)) == whole, stage
    changed = build.parse(str(module).replace("ft.sigmoid", "ft.exp"))
    assert pipeline.digest(pipeline.run(changed)) != whole


def test_verification_between_passes_names_the_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Dce, ctx: Context, op: ModuleOp) -> None:
        first = next(inner for inner in op.walk() if isinstance(inner, RowOp))
        first.properties["extra"] = static(1)

    monkeypatch.setattr(Dce, "apply", broken)
    module = capture(lambda x: (x * 2 + 1).exp().sum(1), [data(3, 4)])
    with scoped(verify=True), pytest.raises(VerifyException, match="FT2") as caught:
        pipeline.run(module, "fused")
    assert "after ft-dce" in caught.value.__notes__


def test_documentation_lists_every_constraint_and_pass() -> None:
    text = (Path(__file__).parent.parent / "docs" / "ir.md").read_text()
    for number, sentence in verify.CONSTRAINTS.items():
        assert f"| {number} | {sentence} |" in text
    order = [text.index(f"| `{p.name}` |") for _, p in pipeline.PIPELINE]
    assert order == sorted(order)


def test_ft_opt_runs_a_file_at_every_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module, _, _ = captured("attention")
    path = tmp_path / "program.mlir"
    path.write_text(str(module))
    printed = []
    for options in (["--stage", "grad"], ["--stage", "fused"], ["-p", "ft-grad,ft-decompose,ft-simplify"]):
        opt([str(path), *options, "-t", "run"])
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] == printed[2]
    assert printed[0].count("!ft.tensor") == 5
    opt([str(path), "--stage", "loops", "-t", "digest"])
    whole = capsys.readouterr().out
    opt([str(path), "--stage", "loops", "-o", str(tmp_path / "loops.mlir")])
    opt([str(tmp_path / "loops.mlir"), "-t", "digest"])
    assert capsys.readouterr().out == whole
    opt([str(tmp_path / "loops.mlir"), "-t", "llvm"])
    assert capsys.readouterr().out.count("; k_") >= 3
