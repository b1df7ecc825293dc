"""Lane functions emitted as LLVM text, on vectors or scalars.

Enters: the function being written. Leaves: instructions in it, and lanes whose `v` names their results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from frankentorch.lower.lanes_base import BITS, SMALL_FLOATS, Lane, Lanes, is_float, llvm_type
from frankentorch.lower.llvmtext import Function, f32_literal, f64_literal, splat


def _small_bits(ty: str, value: float) -> int:
    from frankentorch.lower.lanes_numpy import NumpyLanes

    return int(NumpyLanes().const(ty, value).v)


class LLVMLanes(Lanes):
    """Emit lane functions into `fn` on vectors of `lanes` lanes, or on scalars when `lanes` is 0.

    Wrap values with `wrap`; ``lane.v`` is their name or literal, `type` their LLVM type. f16 and bf16 lanes are
    ``i16`` vectors. With ``f16c`` half conversions use LLVM's own casts (one instruction, same bits) and need that CPU feature.
    """

    def __init__(self, fn: Function, lanes: int = 16, f16c: bool = False) -> None:
        self.fn, self.lanes, self.f16c = fn, lanes, f16c

    def wrap(self, ty: str, v: str) -> Lane:
        """A lane from an LLVM value of type `self.type(ty)`."""
        return Lane(self, ty, v)

    def type(self, ty: str) -> str:
        return self._vector(llvm_type(ty))

    def element(self, ty: str) -> str:
        """The LLVM type of one lane (i1 is i1)."""
        return llvm_type(ty)

    def _vector(self, scalar: str) -> str:
        return f"<{self.lanes} x {scalar}>" if self.lanes else scalar

    def const(self, ty: str, value: float) -> Lane:
        if ty == "f32":
            text = f32_literal(value)
        elif ty == "f64":
            text = f64_literal(value)
        elif ty in SMALL_FLOATS:
            value = _small_bits(ty, value)
            text = str(value)
        else:
            value = int(value) & ((1 << BITS[ty]) - 1)
            text = str(value) if ty != "i1" else ("true" if value else "false")
        return Lane(self, ty, splat(llvm_type(ty), text, self.lanes), value)

    def _emit(self, ty: str, text: str) -> Lane:
        return Lane(self, ty, self.fn.op(text))

    def _intrinsic(self, name: str, a: Lane, *more: tuple[str, str]) -> Lane:
        ty = self.type(a.ty)
        suffix = f"{'v' + str(self.lanes) if self.lanes else ''}{'f' if is_float(a.ty) else 'i'}{BITS[a.ty]}"
        return Lane(self, a.ty, self.fn.call(f"llvm.{name}.{suffix}", ty, [(ty, a.v), *more]))

    def _binary(self, op: str, a: Lane, b: Lane) -> Lane:
        if op == "copysign":
            return self._intrinsic(op, a, (self.type(a.ty), b.v))
        return self._emit(a.ty, f"{op} {self.type(a.ty)} {a.v}, {b.v}")

    def _unary(self, op: str, a: Lane) -> Lane:
        if op == "fneg":
            return self._emit(a.ty, f"fneg {self.type(a.ty)} {a.v}")
        return self._intrinsic(op, a, *([("i1", "false")] if op == "ctlz" else []))

    def _cast(self, op: str, a: Lane, ty: str) -> Lane:
        return self._emit(ty, f"{op} {self.type(a.ty)} {a.v} to {self.type(ty)}")

    def _cmp(self, predicate: str, a: Lane, b: Lane) -> Lane:
        return self._emit("i1", f"{'fcmp' if is_float(a.ty) else 'icmp'} {predicate} {self.type(a.ty)} {a.v}, {b.v}")

    def _select(self, c: Lane, a: Lane, b: Lane) -> Lane:
        ty = self.type(a.ty)
        return self._emit(a.ty, f"select {self.type('i1')} {c.v}, {ty} {a.v}, {ty} {b.v}")

    def _fma(self, a: Lane, b: Lane, c: Lane) -> Lane:
        ty = self.type(a.ty)
        return self._intrinsic("fma", a, (ty, b.v), (ty, c.v))

    def bitcast(self, a: Lane, ty: str) -> Lane:
        if llvm_type(a.ty) == llvm_type(ty):
            return Lane(self, ty, a.v, a.const if a.ty not in SMALL_FLOATS and not is_float(ty) else None)
        return self._cast("bitcast", a, ty)

    def rare(self, cond: Lane, slow: Callable[[], Sequence[Lane]], fast: Sequence[Lane]) -> list[Lane]:
        fn = self.fn
        any_lane = self._any(cond)
        before, label, done = fn.current_block, fn.label("rare"), fn.label("join")
        fn.branch_if(any_lane, label, done)
        fn.block(label)
        merged = [self.select(cond, s, f) for s, f in zip(slow(), fast, strict=True)]
        after = fn.current_block
        fn.branch(done)
        fn.block(done)
        return [self._emit(f.ty, f"phi {self.type(f.ty)} [ {f.v}, %{before} ], [ {m.v}, %{after} ]")
                for m, f in zip(merged, fast, strict=True)]

    def seldom(self, cond: Lane, slow: Callable[..., Sequence[Lane]], inputs: Sequence[Lane], fast: Sequence[Lane]) -> list[Lane]:
        if not self.lanes:
            return super().seldom(cond, slow, inputs, fast)
        fn, one = self.fn, LLVMLanes(self.fn, 0, self.f16c)
        slots = [fn.alloca(self.type(a.ty)) for a in (*inputs, *fast)]
        mask = fn.op(f"bitcast {self.type('i1')} {cond.v} to i{self.lanes}")
        before, label, done = fn.current_block, fn.label("seldom"), fn.label("join")
        fn.branch_if(fn.op(f"icmp ne i{self.lanes} {mask}, 0"), label, done)
        fn.block(label)
        for a, slot in zip((*inputs, *fast), slots, strict=True):
            fn.do(f"store {self.type(a.ty)} {a.v}, ptr {slot}, align 64")
        wide = fn.op(f"zext i{self.lanes} {mask} to i64")
        with fn.loop("0", str(self.lanes)) as lane:
            bit = fn.op(f"and i64 {fn.op(f'lshr i64 {wide}, {lane.iv}')}, 1")
            with fn.when(fn.op(f"icmp ne i64 {bit}, 0")):
                at = [fn.op(f"getelementptr inbounds {one.type(a.ty)}, ptr {slot}, i64 {lane.iv}")
                      for a, slot in zip((*inputs, *fast), slots, strict=True)]
                values = [Lane(one, a.ty, fn.op(f"load {one.type(a.ty)}, ptr {p}")) for a, p in zip(inputs, at, strict=False)]
                for f, out, p in zip(fast, slow(one, *values), at[len(inputs):], strict=True):
                    fn.do(f"store {one.type(f.ty)} {out.v}, ptr {p}")
        merged = [fn.op(f"load {self.type(f.ty)}, ptr {slot}, align 64") for f, slot in zip(fast, slots[len(inputs):], strict=True)]
        after = fn.current_block
        fn.branch(done)
        fn.block(done)
        return [self._emit(f.ty, f"phi {self.type(f.ty)} [ {f.v}, %{before} ], [ {m}, %{after} ]") for f, m in zip(fast, merged, strict=True)]

    def _any(self, cond: Lane) -> str:
        if not self.lanes:
            return str(cond.v)
        mask = self.fn.op(f"bitcast {self.type('i1')} {cond.v} to i{self.lanes}")
        return self.fn.op(f"icmp ne i{self.lanes} {mask}, 0")

    def repeat(self, state: Sequence[Lane], step: Callable[[list[Lane]], tuple[Lane, Sequence[Lane]]]) -> list[Lane]:
        fn = self.fn
        before, head, done = fn.current_block, fn.label("repeat"), fn.label("settled")
        fn.branch(head)
        fn.block(head)
        names = [fn.fresh("s") for _ in state]
        last = [fn.fresh("n") for _ in state]
        latch = fn.label("latch")
        for a, name, after in zip(state, names, last, strict=True):
            fn.do(f"{name} = phi {self.type(a.ty)} [ {a.v}, %{before} ], [ {after}, %{latch} ]")
        old = [Lane(self, a.ty, name) for a, name in zip(state, names, strict=True)]
        active, new = step(old)
        fn.branch(latch)
        fn.block(latch)
        for a, n, after in zip(old, new, last, strict=True):
            ty = self.type(a.ty)
            fn.do(f"{after} = select {self.type('i1')} {active.v}, {ty} {n.v}, {ty} {a.v}")
        fn.branch_if(self._any(active), head, done)
        fn.block(done)
        return [Lane(self, a.ty, after) for a, after in zip(state, last, strict=True)]

    def _to_f16(self, a: Lane) -> Lane:
        if not self.f16c:
            return super()._to_f16(a)
        half = self._vector("half")
        name = self.fn.op(f"fptrunc {self.type('f32')} {a.v} to {half}")
        bits = self._emit("u16", f"bitcast {half} {name} to {self.type('f16')}")
        return self.bitcast(self.select(self.isnan(a), 0x7E00, bits), "f16")

    def _from_f16(self, a: Lane) -> Lane:
        if not self.f16c:
            return super()._from_f16(a)
        half = self._vector("half")
        name = self.fn.op(f"bitcast {self.type('f16')} {a.v} to {half}")
        return self._emit("f32", f"fpext {half} {name} to {self.type('f32')}")
