"""`ft-grad`: a function of a scalar becomes one of the scalar and its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, FunctionType, ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import BlockArgument, SSAValue
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException

from ...errors import InterpreterError
from ...ops.record import Scalar, make_sig, number
from ...ops.table import ROWS
from ...ops.types import TensorType, dense_type, tensor_type
from ...runtime.tape import differentiable, gradient, saves
from .. import build, verify
from ..capture import natural_mask
from ..dialect import GRAD, RowOp
from . import rewrite


@dataclass(frozen=True)
class Grad(ModulePass):
    """Append the gradients of the first result by the arguments marked ``requires_grad`` (by all float arguments where none is). ::

        func.func @main(%x: !ft.tensor<[4], f32> {requires_grad}) -> !ft.tensor<[], f32> {
          %y = ft.mul(%x, %x) : !ft.tensor<[4], f32>
          %s = ft.sum(%y) {dims = [0], keepdim = false} : !ft.tensor<[], f32>
          func.return %s : !ft.tensor<[], f32>
        // becomes
        func.func @main(%x: !ft.tensor<[4], f32>) -> (!ft.tensor<[], f32>, !ft.tensor<[4], f32>) {
          %y = ft.mul(%x, %x) : !ft.tensor<[4], f32>
          %s = ft.sum(%y) {dims = [0], keepdim = false} : !ft.tensor<[], f32>
          %one = ft.number 1.0 : !ft.scalar<f32, 1.0>
          %g = ft.full(%one) {size = [], dtype = f32} : !ft.tensor<[], f32>
          %e = ft.expand(%g) {size = [4]} : !ft.tensor<[4], f32, [0]>
          %a = ft.mul(%e, %x) : !ft.tensor<[4], f32>
          %b = ft.mul(%e, %x) : !ft.tensor<[4], f32>
          %d = ft.add(%a, %b) : !ft.tensor<[4], f32>
          func.return %s, %d : ...

    The rules are those that the tape replays, so the bits are those of ``backward()``: ops in reverse order of recording, contributions to
    a value added in the order in which they arrive, an op's operands from left to right. An attribute ``grad = #ft.static<[true, false]>`` on an op stops gradients of its second operand, as
    ``detach`` does; it is dropped here. An argument that the result does not
    depend on gets zeros.
    """

    name = "ft-grad"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        function = verify.main(op)
        _Backward(function).run()


def _mask(op: RowOp, needs: set[SSAValue]) -> tuple[bool, ...]:
    """Which operands get a gradient: those that need one and were not detached."""
    natural = natural_mask(op, needs)
    given = op.attributes.get(GRAD)
    return natural if given is None else tuple([a and b for a, b in zip(natural, given.data, strict=True)])  # type: ignore[attr-defined]


class _Backward:
    """One walk back over a function's ops."""

    def __init__(self, function: FuncOp) -> None:
        self.function = function
        self.block = function.body.block
        last = self.block.last_op
        assert isinstance(last, ReturnOp)
        self.end = last
        self.wanted = [a for a, m in zip(self.block.args, build.marked(function), strict=True) if m]
        self.grads: dict[SSAValue, SSAValue] = {}

    def run(self) -> None:
        loss = self._loss()
        ops = [op for op in self.block.ops if isinstance(op, RowOp)]
        needs = self._depends(ops)
        if loss in needs:
            self.grads[loss] = self._full(rewrite.type_of(loss), 1)
            for op in reversed(ops):
                self._step(op, needs)
        for op in ops:
            op.attributes.pop(GRAD, None)
        results = [*self.end.operands, *[self._leaf_gradient(a) for a in self.wanted]]
        self.block.insert_op_before(ReturnOp(*results), self.end)
        self.end.detach()
        self.end.erase()
        self.function.properties["function_type"] = FunctionType.from_lists([a.type for a in self.block.args], [v.type for v in results])
        if self.function.arg_attrs is not None:
            kept = [type(m)({k: v for k, v in m.data.items() if k != "requires_grad"}) for m in self.function.arg_attrs.data]
            if any(m.data for m in kept):
                self.function.properties["arg_attrs"] = ArrayAttr(kept)
            else:
                del self.function.properties["arg_attrs"]

    def _loss(self) -> SSAValue:
        if not self.end.operands:
            raise PassFailedException("ft-grad: @main returns nothing to differentiate")
        loss = self.end.operands[0]
        t = rewrite.type_of(loss)
        if t.numel != 1 or not t.dtype.is_floating_point:
            raise PassFailedException(f"ft-grad: the first result is {loss.type}; gradients are taken of one real number")
        return loss

    def _depends(self, ops: Sequence[RowOp]) -> set[SSAValue]:
        """Values that a wanted argument reaches through differentiable ops."""
        needs: set[SSAValue] = set(self.wanted)
        for op in ops:
            if any(_mask(op, needs)):
                needs.update(r for r in op.results if differentiable(rewrite.type_of(r)))
        return needs

    def _step(self, op: RowOp, needs: set[SSAValue]) -> None:
        """Replay one op's rule, and hand on what it gives."""
        incoming = [self.grads.pop(r, None) if r in needs else None for r in op.results]
        if all(g is None for g in incoming):
            return
        sig = op.sig
        mask = _mask(op, needs)
        rule = gradient(sig, mask, tuple([None if g is None else rewrite.type_of(g) for g in incoming]))
        slots: list[SSAValue | None] = [*incoming, *[op.operands[i] if side == "in" else op.results[i] for side, i in saves(sig, mask)]]
        for inner, args in rule.instrs:
            if inner is None:
                slots.append(self._constant(op, args))
            else:
                slots.extend(rewrite.before(self.end, inner, [slots[a] for a in args]))  # type: ignore[misc]
        for operand, wanted, r in zip(op.operands, mask, rule.results, strict=True):
            if wanted and r is not None:
                g = slots[r]
                assert g is not None
                self._add(operand, g)

    def _constant(self, op: RowOp, value: object) -> SSAValue:
        if not isinstance(value, Scalar):
            raise InterpreterError(f"the gradient rule of {op.name} brings a tensor; IR takes tensors as arguments only")
        return rewrite.number_before(self.end, value.type, value.num)

    def _add(self, value: SSAValue, g: SSAValue) -> None:
        have = self.grads.get(value)
        if have is not None:
            g = self._emit("add", [have, g])
        self.grads[value] = g

    def _emit(self, row: str, operands: Sequence[SSAValue], statics: tuple[object, ...] = ()) -> SSAValue:
        sig = make_sig(ROWS[row], tuple([rewrite.type_of(v) for v in operands]), statics)
        return rewrite.before(self.end, sig, operands)[0]

    def _full(self, t: TensorType, value: int) -> SSAValue:
        """One number everywhere, row-major, as backward() makes its roots."""
        given = complex(value) if t.dtype.is_complex else float(value)
        scalar = number(t.dtype, given.real)
        return self._emit("full", [rewrite.number_before(self.end, scalar.type, scalar.num)], (t.shape, t.dtype))

    def _leaf_gradient(self, arg: BlockArgument) -> SSAValue:
        """What ``.grad`` would hold: in the argument's own layout where it is dense."""
        t = rewrite.type_of(arg)
        g = self.grads.get(arg)
        if g is None:
            g = self._full(tensor_type(t.dtype, t.shape), 0)
        have = rewrite.type_of(g)
        if t.dense and have.strides != t.strides:
            return self._emit("clone", [g], (t.strides,))
        if not have.dense:
            return self._emit("clone", [g], (dense_type(have).strides,))
        return g
