"""`loops` to LLVM text, in one walk.

Enters: a `loops.kernel` and the lane functions by name. Leaves: the text of a module with one function of the kernel ABI. The text
depends on the ops alone. A strip is printed several times (unrolled body, masked tail), so its body is walked once for each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xdsl.dialects.builtin import DictionaryAttr, ModuleOp, StringAttr
from xdsl.ir import Block, Operation, SSAValue

from frankentorch.lower import loops
from frankentorch.lower.lanes import Complex, Lane, Lanes, LLVMLanes
from frankentorch.lower.llvmtext import Function
from frankentorch.lower.llvmtext import module as print_module
from frankentorch.lower.translate_memory import Memory
from frankentorch.lower.translate_reduce import combine, fold_lanes, fold_list, identity

LaneFn = Callable[..., Any]
LaneOf = Callable[[str, dict[str, object]], LaneFn]
COMPLEX_PART = {"c64": "f32", "c128": "f64"}


def encode_attrs(attrs: Sequence[tuple[str, object]]) -> DictionaryAttr:
    """Step attributes as IR: JSON texts, which keep floats exactly (and complex numbers as ``{"complex": [re, im]}``)."""
    return DictionaryAttr({name: StringAttr(json.dumps(value, default=lambda z: {"complex": [z.real, z.imag]})) for name, value in attrs})


def decode_attrs(attrs: DictionaryAttr) -> dict[str, object]:
    return {name: _tuples(json.loads(value.data)) for name, value in attrs.data.items() if isinstance(value, StringAttr)}


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return complex(*value["complex"])
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def lanes_registry(functions: Mapping[str, LaneFn]) -> LaneOf:
    """A `LaneOf` from plain functions ``f(L, x, ..., **attrs)``."""
    def lane_of(op: str, attrs: dict[str, object]) -> LaneFn:
        fn = functions[op]
        return (lambda L, *args: fn(L, *args, **attrs)) if attrs else fn
    return lane_of


def widened(L: Lanes, x: Any) -> Any:
    """An argument as lane functions want it: bf16 and f16 in f32."""
    return L.convert(x, "f32") if isinstance(x, Lane) and x.ty in ("f16", "bf16") else x


def constant(L: Lanes, dtype: str, value: Any) -> Any:
    """A number in every lane."""
    part = COMPLEX_PART.get(dtype)
    if part is None:
        return L.const(dtype, value)
    return Complex(L.const(part, complex(value).real), L.const(part, complex(value).imag))


def as_dtype(L: Lanes, x: Any, dtype: str) -> Any:
    """A lane function's result rounded once to its step's dtype."""
    part = COMPLEX_PART.get(dtype)
    if part is None and isinstance(x, Complex):
        return L.cmp("ne", x.re, 0) | L.cmp("ne", x.im, 0) if dtype == "i1" else L.convert(x.re, dtype)
    if part is None:
        return L.convert(x, dtype)
    if isinstance(x, Complex):
        return Complex(L.convert(x.re, part), L.convert(x.im, part))
    re = L.convert(x, part)
    return Complex(re, L.const(part, 0.0))


def translate(module: ModuleOp, lane_of: LaneOf) -> str:
    """The LLVM text of a module that holds one `loops.kernel`."""
    kernel = next(op for op in module.ops if isinstance(op, loops.KernelOp))
    return translate_kernel(kernel, lane_of)


def translate_kernel(kernel: loops.KernelOp, lane_of: LaneOf) -> str:
    fn = _Translator(kernel, lane_of).run()
    return print_module([fn.finish()], fn.declares)


class _Translator:
    """The walk: `values` maps SSA values to LLVM names (index, ptr) or to lanes."""

    def __init__(self, kernel: loops.KernelOp, lane_of: LaneOf) -> None:
        self.kernel, self.lane_of = kernel, lane_of
        self.fn = Function(kernel.sym_name.data, [("ptr", "args"), ("i64", "lo"), ("i64", "hi"), ("ptr", "scratch")])
        self.wide_masks = kernel.tier.data == "avx512"
        self.L = LLVMLanes(self.fn, loops.LANES, f16c=kernel.tier.data in ("avx2", "avx512"))
        self.memory = Memory(self.fn, self.L)
        self.values: dict[SSAValue, Any] = {}
        self.cases: dict[type[Operation], Callable[[Any], None]] = {
            loops.SplitOp: self._split, loops.ChunkOp: self._chunk, loops.CalcOp: self._calc, loops.ConstOp: self._const,
            loops.AtOp: self._at, loops.ScratchOp: self._scratch, loops.ForOp: self._for, loops.StripOp: self._strip,
            loops.LoadOp: self._load, loops.StoreOp: self._store, loops.ScalarOp: self._scalar, loops.IotaOp: self._iota,
            loops.LaneOp: self._lane, loops.IdentityOp: self._identity, loops.CombineOp: self._combine, loops.FoldOp: self._fold,
            loops.FoldRowsOp: self._fold_rows,
        }

    def run(self) -> Function:
        fn, block = self.fn, self.kernel.body.block
        for k, word in enumerate(block.args[1:]):
            if word.first_use is not None:
                type_ = "ptr" if isinstance(word.type, loops.PtrType) else "i64"
                at = fn.op(f"getelementptr inbounds i64, ptr %args, i64 {k}")
                self.values[word] = fn.op(f"load {type_}, ptr {at}, align 8")
        for op in block.walk():
            if isinstance(op, loops.LoadOp | loops.StoreOp) and op.stride is not None:
                self.memory.lane_offsets(self.values[op.stride])
        with fn.loop("%lo", "%hi") as it:
            self.values[block.args[0]] = it.iv
            self._walk(block)
        return fn

    def _walk(self, block: Block) -> list[Any]:
        """Print a body; its yielded values."""
        for op in block.ops:
            if isinstance(op, loops.YieldOp):
                return [self.values[v] for v in op.values]
            self.cases[type(op)](op)
        return []

    def _get(self, operands: Sequence[SSAValue]) -> list[Any]:
        return [self.values[v] for v in operands]

    # Indices and addresses ------------------------------------------------------------------------------------
    def _split(self, op: loops.SplitOp) -> None:
        rest = self.values[op.flat]
        for size, index in zip(reversed(op.sizes), reversed(op.indices), strict=False):
            size_ = self.values[size]
            quotient = self.fn.op(f"udiv i64 {rest}, {size_}")
            back = self.fn.op(f"mul i64 {quotient}, {size_}")
            self.values[index] = self.fn.op(f"sub i64 {rest}, {back}")
            rest = quotient
        self.values[op.indices[0]] = rest

    def _chunk(self, op: loops.ChunkOp) -> None:
        number, chunk, size = self._get((op.number, op.chunk, op.size))
        lo = self.values[op.lo] = self.fn.op(f"mul i64 {number}, {chunk}")
        self.values[op.hi] = self._min("smin", self.fn.op(f"add i64 {lo}, {chunk}"), size)

    def _min(self, name: str, a: str, b: str) -> str:
        return self.fn.call(f"llvm.{name}.i64", "i64", [("i64", a), ("i64", b)])

    def _calc(self, op: loops.CalcOp) -> None:
        a, b = self.values[op.lhs], self.values[op.rhs]
        kind = op.kind.data
        if kind in ("min", "max"):
            out = self._min("s" + kind, a, b)
        elif kind == "cdiv":
            less = self.fn.op(f"sub i64 {b}, 1")
            total = self.fn.op(f"add i64 {a}, {less}")
            out = self.fn.op(f"udiv i64 {total}, {b}")
        else:
            out = self.fn.op(f"{kind} i64 {a}, {b}")
        self.values[op.result] = out

    def _const(self, op: loops.ConstOp) -> None:
        self.values[op.result] = str(op.value.data)

    def _at(self, op: loops.AtOp) -> None:
        base, total = self.values[op.base], ""
        for index, stride in zip(op.indices, op.strides, strict=True):
            term = self.fn.op(f"mul i64 {self.values[index]}, {self.values[stride]}")
            total = self.fn.op(f"add i64 {total}, {term}") if total else term
        self.values[op.result] = self.fn.op(f"getelementptr inbounds [{op.bytes.data} x i8], ptr {base}, i64 {total}") if total else base

    def _scratch(self, op: loops.ScratchOp) -> None:
        self.values[op.result] = self.fn.op(f"getelementptr inbounds i8, ptr %scratch, i64 {op.offset.data}")

    # Loops ----------------------------------------------------------------------------------------------------
    def _carried(self, inits: Sequence[SSAValue]) -> list[tuple[str, str]]:
        return [(self.L.type(self.values[v].ty), self.values[v].v) for v in inits]

    def _enter(self, block: Block, index: str, carried: Sequence[str], inits: Sequence[SSAValue]) -> None:
        self.values[block.args[0]] = index
        for arg, name, init in zip(block.args[1:], carried, inits, strict=True):
            self.values[arg] = self.L.wrap(self.values[init].ty, name)

    def _for(self, op: loops.ForOp) -> None:
        body = op.body.block
        with self.fn.loop(self.values[op.lo], self.values[op.hi], carried=self._carried(op.inits)) as it:
            self._enter(body, it.iv, it.vars, op.inits)
            it.next([v.v for v in self._walk(body)])
        self._leave(op, it.results)

    def _leave(self, op: loops.ForOp | loops.StripOp, results: Sequence[str]) -> None:
        for out, name, init in zip(op.outs, results, op.inits, strict=True):
            self.values[out] = self.L.wrap(self.values[init].ty, name)

    def _strip(self, op: loops.StripOp) -> None:
        lo, hi, unroll = self.values[op.lo], self.values[op.hi], op.unroll.data
        carried = self._carried(op.inits)
        if op.aligned is not None:
            self._leave(op, self._masked_loop(op, self.fn.op(f"and i64 {lo}, -16"), hi, carried, floor=lo))
            return
        if unroll == 0 and self.wide_masks:
            self._leave(op, self._masked_loop(op, lo, hi, carried))
            return
        step = loops.LANES * max(unroll, 1)
        length = self.fn.op(f"sub i64 {hi}, {lo}") if lo != "0" else hi
        whole = self.fn.op(f"and i64 {length}, {-step}")
        stop = self.fn.op(f"add i64 {lo}, {whole}") if lo != "0" else whole
        with self.fn.loop(lo, stop, step, carried) as it:
            names = it.vars
            for k in range(max(unroll, 1)):
                index = self.fn.op(f"add nsw i64 {it.iv}, {loops.LANES * k}") if k else it.iv
                names = self._turn(op, index, names)
            it.next(names)
        rest = [(type_, name) for (type_, _), name in zip(carried, it.results, strict=True)]
        self._leave(op, self._masked_loop(op, stop, hi, rest))

    def _turn(self, op: loops.StripOp, index: str, names: Sequence[str]) -> list[str]:
        """One turn of a strip's body under the current mask; the names of the new carried values."""
        body = op.body.block
        self._enter(body, index, names, op.inits)
        before = [self.values[arg] for arg in body.args[1:]]
        after = self._walk(body)
        mask = self.memory.mask
        if mask is not None:
            after = [self.L.select(self.L.wrap("i1", mask), new, old) for new, old in zip(after, before, strict=True)]
        return [v.v for v in after]

    def _masked_loop(self, op: loops.StripOp, lo: str, hi: str, carried: Sequence[tuple[str, str]], floor: str = "") -> list[str]:
        with self.fn.loop(lo, hi, loops.LANES, carried) as it:
            self.memory.mask = self.memory.range_mask(it.iv, hi, floor)
            it.next(self._turn(op, it.iv, it.vars))
            self.memory.mask = None
        return it.results

    # Lanes ----------------------------------------------------------------------------------------------------
    def _load(self, op: loops.LoadOp) -> None:
        dtype = op.result.type.dtype.data
        base, index = self.values[op.base], self.values[op.index]
        stride = None if op.stride is None else self.values[op.stride]
        part = COMPLEX_PART.get(dtype)
        if part is None:
            self.values[op.result] = self.memory.load(op.access.data, dtype, base, index, stride)
            return
        halves = [self.memory.load_part(op.access.data, part, base, index, stride, k) for k in (0, 1)]
        self.values[op.result] = Complex(*halves)

    def _store(self, op: loops.StoreOp) -> None:
        value, base, index = self.values[op.value], self.values[op.base], self.values[op.index]
        stride = None if op.stride is None else self.values[op.stride]
        if isinstance(value, Complex):
            for k, half in enumerate((value.re, value.im)):
                self.memory.store_part(op.access.data, half, base, index, stride, k)
            return
        self.memory.store(op.access.data, value, base, index, stride)

    def _scalar(self, op: loops.ScalarOp) -> None:
        dtype, word = op.result.type.dtype.data, self.values[op.word]
        source = "f64" if dtype[0] in "fbc" else "i64"
        if source == "f64":
            word = self.fn.op(f"bitcast i64 {word} to double")
        lane = self.L.wrap(source, self.memory.broadcast(source, word))
        self.values[op.result] = as_dtype(self.L, lane, dtype)

    def _iota(self, op: loops.IotaOp) -> None:
        index = self.L.wrap("i64", self.memory.broadcast("i64", self.values[op.index]))
        if op.along.data == "lanes":
            index = self.L.binary("add", index, self.memory.iota64())
        self.values[op.result] = self.L.convert(index, op.result.type.dtype.data)

    def _lane(self, op: loops.LaneOp) -> None:
        L, name, dtype = self.L, op.fn.data, op.result.type.dtype.data
        attrs = decode_attrs(op.attrs)
        args = self._get(op.args)
        if name == "full":
            out = constant(L, dtype, attrs["value"])
        elif name == "to":
            out = args[0]
        elif name == "complex":
            out = Complex(*args)
        else:
            out = self.lane_of(name, attrs)(L, *(widened(L, a) for a in args))
        self.values[op.result] = as_dtype(L, out, dtype)

    # Reductions -----------------------------------------------------------------------------------------------
    def _bind(self, results: Sequence[SSAValue], lanes: Sequence[Lane]) -> None:
        for result, lane in zip(results, lanes, strict=True):
            self.values[result] = lane

    def _identity(self, op: loops.IdentityOp) -> None:
        self._bind(op.results_, identity(self.L, op.kind.data, [r.type.dtype.data for r in op.results_]))

    def _combine(self, op: loops.CombineOp) -> None:
        accs = self._get(op.accs)
        xs = [part for x in self._get(op.xs) for part in ((x.re, x.im) if isinstance(x, Complex) else (x,))]
        xs = [self.L.convert(x, acc.ty) for x, acc in zip(xs, accs, strict=True)]
        self._bind(op.results_, combine(self.L, op.kind.data, accs, xs))

    def _fold(self, op: loops.FoldOp) -> None:
        self._bind(op.results_, fold_lanes(self.L, op.kind.data, self._get(op.accs)))

    def _fold_rows(self, op: loops.FoldRowsOp) -> None:
        index, rows = self.values[op.index], []
        mask, self.memory.mask = self.memory.mask, None
        for lane in range(loops.LANES):
            at = self.fn.op(f"add i64 {index}, {lane * op.pitch.data}") if lane else index
            rows.append([self.memory.load("unit", result.type.dtype.data, self.values[base], at, None)
                         for base, result in zip(op.bases, op.results_, strict=True)])
        self.memory.mask = mask
        self._bind(op.results_, fold_list(self.L, op.kind.data, rows))
