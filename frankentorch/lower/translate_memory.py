"""Sixteen-lane loads and stores as LLVM text: contiguous, strided or one element, under a mask or not.

Enters: element addresses and a current `mask` (an LLVM ``<16 x i1>`` name, or None for all lanes). Leaves: instructions in the
function. Memory holds i1 as bytes 0 or 1 and f16, bf16 as their 16-bit patterns; addresses are aligned to their element only.
"""

from __future__ import annotations

from frankentorch.lower.lanes import BITS, Lane, LLVMLanes
from frankentorch.lower.llvmtext import Function

LANES = 16
_IOTA32 = "<" + ", ".join(f"i32 {k}" for k in range(LANES)) + ">"
_IOTA64 = "<" + ", ".join(f"i64 {k}" for k in range(LANES)) + ">"
_SPLAT = "<16 x i32> zeroinitializer"


class Memory:
    """The loads and stores of one function."""

    def __init__(self, fn: Function, lanes: LLVMLanes) -> None:
        self.fn, self.L = fn, lanes
        self.mask: str | None = None
        self._offsets: dict[str, str] = {}

    def broadcast(self, ty: str, scalar: str) -> str:
        """A scalar of lane code `ty` in every lane."""
        return self._splat(self._cell(ty) if ty != "i1" else "i1", scalar)

    def _splat(self, scalar_type: str, scalar: str) -> str:
        one = self.fn.op(f"insertelement <16 x {scalar_type}> poison, {scalar_type} {scalar}, i64 0")
        return self.fn.op(f"shufflevector <16 x {scalar_type}> {one}, <16 x {scalar_type}> poison, {_SPLAT}")

    def iota64(self) -> Lane:
        return self.L.wrap("i64", _IOTA64)

    def lane_offsets(self, stride: str) -> str:
        """lane * stride for a run-time stride; call it first where it dominates every use."""
        if stride not in self._offsets:
            self._offsets[stride] = self.fn.op(f"mul <16 x i64> {self._splat('i64', stride)}, {_IOTA64}")
        return self._offsets[stride]

    def range_mask(self, index: str, hi: str, lo: str = "") -> str:
        """Lanes l with lo <= index + l < hi."""
        fn = self.fn
        left = fn.call("llvm.smin.i64", "i64", [("i64", fn.op(f"sub i64 {hi}, {index}")), ("i64", "16")])
        mask = fn.op(f"icmp ugt <16 x i32> {self._splat('i32', fn.op(f'trunc i64 {left} to i32'))}, {_IOTA32}")
        if not lo:
            return mask
        skip = fn.call("llvm.smax.i64", "i64", [("i64", fn.op(f"sub i64 {lo}, {index}")), ("i64", "0")])
        from_ = fn.op(f"icmp ule <16 x i32> {self._splat('i32', fn.op(f'trunc i64 {skip} to i32'))}, {_IOTA32}")
        return fn.op(f"and <16 x i1> {mask}, {from_}")

    # Addresses ------------------------------------------------------------------------------------------------
    def _cell(self, ty: str) -> str:
        """The LLVM type of an element in memory."""
        return "i8" if ty == "i1" else self.L.element(ty)

    def _align(self, ty: str) -> int:
        return max(BITS[ty] // 8, 1)

    def _address(self, cell: str, base: str, index: str) -> str:
        return base if index == "0" else self.fn.op(f"getelementptr inbounds {cell}, ptr {base}, i64 {index}")

    def _addresses(self, cell: str, base: str, index: str, stride: str) -> str:
        first = self._address(cell, base, index if index == "0" else self.fn.op(f"mul i64 {index}, {stride}"))
        return self.fn.op(f"getelementptr inbounds {cell}, ptr {first}, <16 x i64> {self.lane_offsets(stride)}")

    def _suffix(self, ty: str) -> str:
        cell = self._cell(ty)
        return "v16" + {"float": "f32", "double": "f64"}.get(cell, cell)

    # Loads ----------------------------------------------------------------------------------------------------
    def _from_cell(self, ty: str, value: str) -> Lane:
        if ty == "i1":
            value = self.fn.op(f"icmp ne <16 x i8> {value}, zeroinitializer")
        return self.L.wrap(ty, value)

    def load(self, access: str, ty: str, base: str, index: str, stride: str | None) -> Lane:
        cell, align = self._cell(ty), self._align(ty)
        vector = f"<16 x {cell}>"
        if access == "splat":
            at = self._address(cell, base, index)
            return self._from_cell(ty, self._splat(cell, self.fn.op(f"load {cell}, ptr {at}, align {align}")))
        if access == "strided":
            assert stride is not None
            return self._from_cell(ty, self._gather(ty, self._addresses(cell, base, index, stride)))
        at = self._address(cell, base, index)
        if self.mask is None:
            return self._from_cell(ty, self.fn.op(f"load {vector}, ptr {at}, align {align}"))
        name = f"llvm.masked.load.{self._suffix(ty)}.p0"
        self.fn.declare(name, vector, ["ptr", "<16 x i1>", vector])
        value = self.fn.op(f"call {vector} @{name}(ptr align {align} {at}, <16 x i1> {self.mask}, {vector} zeroinitializer)")
        return self._from_cell(ty, value)

    def _gather(self, ty: str, addresses: str) -> str:
        vector, name = f"<16 x {self._cell(ty)}>", f"llvm.masked.gather.{self._suffix(ty)}.v16p0"
        self.fn.declare(name, vector, ["<16 x ptr>", "<16 x i1>", vector])
        mask = self.mask or "splat (i1 true)"
        pointers = f"<16 x ptr> align {self._align(ty)} {addresses}"
        return self.fn.op(f"call {vector} @{name}({pointers}, <16 x i1> {mask}, {vector} zeroinitializer)")

    def _part(self, access: str, ty: str, base: str, index: str, stride: str | None, part: int) -> tuple[str, str, str]:
        """Where the halves of complex elements lie: base, index and stride in half elements."""
        cell = self._cell(ty)
        base = self._address(cell, base, str(part))
        if access in ("splat", "row"):
            return base, index if index == "0" else self.fn.op(f"shl i64 {index}, 1"), ""
        if stride is None:
            return self._address(cell, base, index if index == "0" else self.fn.op(f"shl i64 {index}, 1")), "0", "2"
        offset = index if index == "0" else self.fn.op(f"mul i64 {index}, {stride}")
        base = base if offset == "0" else self._address(cell, base, self.fn.op(f"shl i64 {offset}, 1"))
        return base, "0", stride

    def _part_addresses(self, cell: str, base: str, stride: str) -> str:
        if stride == "2":
            offsets = "<" + ", ".join(f"i64 {2 * k}" for k in range(LANES)) + ">"
        else:
            offsets = self.fn.op(f"shl <16 x i64> {self.lane_offsets(stride)}, splat (i64 1)")
        return self.fn.op(f"getelementptr inbounds {cell}, ptr {base}, <16 x i64> {offsets}")

    def load_part(self, access: str, ty: str, base: str, index: str, stride: str | None, part: int) -> Lane:
        """The real (0) or imaginary (1) parts of sixteen complex elements; `ty` is the part's type."""
        at, index, step = self._part(access, ty, base, index, stride, part)
        if access in ("splat", "row"):
            return self.load("splat", ty, at, index, None)
        return self._from_cell(ty, self._gather(ty, self._part_addresses(self._cell(ty), at, step)))

    # Stores ---------------------------------------------------------------------------------------------------
    def _to_cell(self, value: Lane) -> str:
        return self.fn.op(f"zext <16 x i1> {value.v} to <16 x i8>") if value.ty == "i1" else value.v

    def store(self, access: str, value: Lane, base: str, index: str, stride: str | None) -> None:
        ty = value.ty
        cell, align, text = self._cell(ty), self._align(ty), self._to_cell(value)
        vector = f"<16 x {cell}>"
        if access == "strided":
            assert stride is not None
            self._scatter(ty, text, self._addresses(cell, base, index, stride))
            return
        at = self._address(cell, base, index)
        if access == "row":
            one = self.fn.op(f"extractelement {vector} {text}, i64 0")
            self.fn.do(f"store {cell} {one}, ptr {at}, align {align}")
        elif self.mask is None:
            self.fn.do(f"store {vector} {text}, ptr {at}, align {align}")
        else:
            name = f"llvm.masked.store.{self._suffix(ty)}.p0"
            self.fn.declare(name, "void", [vector, "ptr", "<16 x i1>"])
            self.fn.do(f"call void @{name}({vector} {text}, ptr align {align} {at}, <16 x i1> {self.mask})")

    def _scatter(self, ty: str, text: str, addresses: str) -> None:
        vector, name = f"<16 x {self._cell(ty)}>", f"llvm.masked.scatter.{self._suffix(ty)}.v16p0"
        self.fn.declare(name, "void", [vector, "<16 x ptr>", "<16 x i1>"])
        mask = self.mask or "splat (i1 true)"
        self.fn.do(f"call void @{name}({vector} {text}, <16 x ptr> align {self._align(ty)} {addresses}, <16 x i1> {mask})")

    def store_part(self, access: str, value: Lane, base: str, index: str, stride: str | None, part: int) -> None:
        at, index, step = self._part(access, value.ty, base, index, stride, part)
        if access == "row":
            self.store("row", value, at, index, None)
        else:
            self._scatter(value.ty, self._to_cell(value), self._part_addresses(self._cell(value.ty), at, step))
