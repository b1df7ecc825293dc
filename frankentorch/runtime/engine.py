"""The backward engine: walks the tape from its roots and replays gradient rules in torch's order.

Enters: roots with their gradients. Leaves: gradients accumulated into leaves, or returned for named inputs. Ready nodes run the
latest recorded first; contributions to one node add up in order of arrival, which recording order fixes.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

from ..ops.record import grad_mode, state
from .tape import AccumulateGrad, Node, Untracked


def _wanted_nodes(roots: Sequence[Any], targets: set[Any]) -> set[Any]:
    """Nodes from which a target can be reached (the targets included)."""
    order: list[Any] = []
    seen: set[Any] = set()
    stack: list[tuple[Any, bool]] = [(r, False) for r in roots]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
            continue
        if node in seen:
            continue
        seen.add(node)
        stack.append((node, True))
        stack.extend((e[0], False) for e in node.edges if e is not None and e[0] not in seen)
    wanted: set[Any] = set()
    for node in order:
        if node in targets or any(e is not None and e[0] in wanted for e in node.edges):
            wanted.add(node)
    return wanted


def _dependencies(roots: Sequence[Any], wanted: set[Any] | None) -> dict[Any, int]:
    """How many contributions each reachable node waits for."""
    count: dict[Any, int] = dict.fromkeys(roots, 0)
    stack = list(count)
    while stack:
        node = stack.pop()
        for e in node.edges:
            if e is None or (wanted is not None and e[0] not in wanted):
                continue
            child = e[0]
            if child in count:
                count[child] += 1
            else:
                count[child] = 1
                stack.append(child)
    return count


def run(roots: Sequence[tuple[Any, int, Any]], retain_graph: bool, create_graph: bool, captures: Sequence[tuple[Any, int]] | None = None,
        accumulate: bool = True) -> list[Any]:
    """Walk the tape from (node, output number, gradient) roots.

    With `captures`, return the gradient that reaches each (node, output number) instead of accumulating into leaves (unless
    `accumulate`, for ``backward(inputs=...)``).
    """
    with grad_mode(create_graph):
        return _run(roots, retain_graph, create_graph, captures, accumulate)


def _run(roots: Sequence[tuple[Any, int, Any]], retain_graph: bool, create_graph: bool, captures: Sequence[tuple[Any, int]] | None,
         accumulate: bool) -> list[Any]:
    starts = list(dict.fromkeys(node for node, _, _ in roots))
    targets = None if captures is None else {c[0] for c in captures if c[0].__class__ is not Untracked}
    wanted = None if targets is None else _wanted_nodes(starts, targets)
    if wanted is not None:
        starts = [s for s in starts if s in wanted]
    waiting = _dependencies(starts, wanted)
    buffers: dict[Any, list[Any]] = {}
    results: dict[tuple[Any, int], Any] = {}
    capture_set = set(captures or ())
    for node, nr, g in roots:
        if node in waiting:
            _add(buffers, node, nr, g)
    ready = [(-node.seq, i, node) for i, node in enumerate(starts) if waiting[node] == 0]
    heapq.heapify(ready)
    ticket = len(starts)
    taken = {id(g._value) for _, _, g in roots}
    while ready:
        _, _, node = heapq.heappop(ready)
        grads = buffers.pop(node, None)
        if grads is None:
            grads = [None] * len(node.outs)
        _tensor_hooks(node, grads)
        for nr, g in enumerate(grads):
            if (node, nr) in capture_set:
                results[node, nr] = g
        if node.is_leaf:
            if accumulate and (captures is None or (node, 0) in capture_set) and grads[0] is not None:
                accumulate_grad(node, grads[0], create_graph, taken)
            continue
        followed = [e for e in node.edges if e is not None and (wanted is None or e[0] in wanted)]
        if followed:
            if all(g is None for g in grads):
                gs: Sequence[Any] = [None] * len(node.edges)
            else:
                gs = _apply(node, grads, create_graph)
        else:
            gs = [None] * len(node.edges)
        if not retain_graph and followed:
            node.release()
        for e, g in zip(node.edges, gs, strict=True):
            if e is None or (wanted is not None and e[0] not in wanted):
                continue
            child, nr = e
            if g is not None:
                _add(buffers, child, nr, g)
            waiting[child] -= 1
            if waiting[child] == 0:
                ticket += 1
                heapq.heappush(ready, (-child.seq, ticket, child))
    return [None if c[0].__class__ is Untracked else results.get(c) for c in (captures or ())]


def _add(buffers: dict[Any, list[Any]], node: Any, nr: int, g: Any) -> None:
    have = buffers.get(node)
    if have is None:
        have = buffers[node] = [None] * len(node.outs)
    have[nr] = g if have[nr] is None else have[nr] + g


def _tensor_hooks(node: Any, grads: list[Any]) -> None:
    if node.hooks:
        for nr, hooks in node.hooks.items():
            if grads[nr] is None:
                continue
            for hook in list(hooks):
                got = hook(grads[nr])
                if got is not None:
                    grads[nr] = got
    if node.retains:
        for nr, keep in node.retains.items():
            keep(grads[nr])


def _apply(node: Node, grads: list[Any], create_graph: bool) -> Sequence[Any]:
    if node.pre_hooks:
        for kind, hook in list(node.pre_hooks):
            if kind == "pre":
                got = hook(tuple(grads))
                if got is not None:
                    grads[:] = list(got) if isinstance(got, tuple) else [got]
    if state.anomaly:
        out = _checked(node, grads, create_graph)
    else:
        out = node.apply(grads, create_graph)
    if node.pre_hooks:
        for kind, hook in list(node.pre_hooks):
            if kind == "post":
                got = hook(tuple(out), tuple(grads))
                if got is not None:
                    out = list(got) if isinstance(got, tuple) else [got]
    return out


def _checked(node: Node, grads: list[Any], create_graph: bool) -> Sequence[Any]:
    """Anomaly mode: name the forward call of a node that fails or returns NaN."""
    import warnings

    note = f"Error detected in {node.name}. Traceback of forward call that caused the error:\n{''.join(node.where or ())}"
    try:
        out = node.apply(grads, create_graph)
    except Exception:
        warnings.warn(note, stacklevel=2)
        raise
    for i, g in enumerate(out if state.check_nan else ()):
        if g is not None and bool((g != g).any()):
            warnings.warn(note, stacklevel=2)
            raise RuntimeError(f"Function '{node.name}' returned nan values in its {i}th output.")
    return out


def accumulate_grad(node: AccumulateGrad, g: Any, create_graph: bool, taken: set[int]) -> None:
    """Add a gradient to a leaf's ``.grad``: steal it when there is none, else add in place (or anew, under create_graph).

    `taken` holds the values that a tensor owns already: those are copied, so that no two tensors share memory by accident.
    """
    t = node.tensor()
    if t is None or t._node is not node:
        return
    if node.pre_hooks:
        for kind, hook in list(node.pre_hooks):
            if kind == "pre":
                got = hook((g,))
                if got is not None:
                    g = got[0] if isinstance(got, tuple) else got
    have = t._grad
    if have is None:
        kept = g if create_graph or g._node is None and g._root is None else g.detach()
        want = t._value.type
        if want.dense and any(n != 1 and a != b for n, a, b in zip(want.shape, want.strides, kept._value.type.strides, strict=True)):
            from ..ops.pointwise import clone_row
            from ..ops.record import emit

            kept = emit(clone_row, (kept,), (want.strides,))
        elif kept._root is not None or not kept._value.type.dense or id(kept._value) in taken:
            kept = kept.clone()
        taken.add(id(kept._value))
        t._grad = kept
    elif create_graph:
        t._grad = have + g
    else:
        have.add_(g)
    if node.post_hooks:
        for hook in list(node.post_hooks):
            hook(t)
    if node.pre_hooks:
        for kind, hook in list(node.pre_hooks):
            if kind == "post":
                hook((), (g,))
