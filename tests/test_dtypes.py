"""dtypes against torch: every pair, every attribute, the priority rule over all short operand lists."""
# ruff: noqa: B018, B023 (reading an attribute is the test; every lambda is called before its loop moves on)

from __future__ import annotations

import copy
import itertools
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch._prims_common import ELEMENTWISE_TYPE_PROMOTION_KIND, elementwise_dtypes

from frankentorch import dtypes
from frankentorch.errors import MissingName, NotImplementedYet

NAMES = [d.name for d in dtypes.ALL]


def outcome(call):
    """A call's result as text, or its exception's type and message."""
    try:
        return str(call())
    except Exception as error:  # noqa: BLE001 (whatever is raised is what is compared)
        return type(error).__name__, str(error)


@pytest.fixture(params=["float32", "float64", "bfloat16", "float16"])
def default(request):
    torch.set_default_dtype(getattr(torch, request.param))
    dtypes.set_default_dtype(dtypes.by_name(request.param))
    yield request.param
    torch.set_default_dtype(torch.float32)
    dtypes.set_default_dtype(dtypes.float32)


@pytest.mark.parametrize("name", NAMES)
def test_attributes(name):
    ours, theirs = getattr(dtypes, name), getattr(torch, name)
    for attribute in ("itemsize", "is_floating_point", "is_complex", "is_signed", "abbr", "__module__"):
        assert getattr(ours, attribute) == getattr(theirs, attribute), attribute
    assert repr(ours) == repr(theirs) and str(ours) == str(theirs)
    assert outcome(ours.to_real) == outcome(theirs.to_real)
    assert outcome(ours.to_complex) == outcome(theirs.to_complex)
    assert dtypes.TYPE_NAMES[torch.empty(0, dtype=theirs).type()] is ours


@pytest.mark.parametrize("name", NAMES)
def test_singletons(name):
    d = getattr(dtypes, name)
    assert copy.copy(d) is d and copy.deepcopy([d])[0] is d
    assert all(pickle.loads(pickle.dumps(d, p)) is d for p in range(pickle.HIGHEST_PROTOCOL + 1))
    with pytest.raises(AttributeError):
        d.itemsize = 3
    with pytest.raises(AttributeError, match="'torch.dtype' object has no attribute 'foo'"):
        d.foo


def test_cannot_be_made():
    with pytest.raises(TypeError, match="cannot create 'torch.dtype' instances"):
        dtypes.dtype()


def test_aliases():
    theirs = {n: getattr(torch, n) for n in dir(torch) if isinstance(getattr(torch, n), torch.dtype)}
    for name, d in theirs.items():
        if str(d)[6:] in NAMES:
            assert repr(getattr(dtypes, name)) == repr(d)
        else:
            with pytest.raises(MissingName, match=name):
                getattr(dtypes, name)
            assert not hasattr(dtypes, name)


@pytest.mark.parametrize("a", NAMES)
def test_pairs(a):
    for b in NAMES:
        for function in ("promote_types", "can_cast"):
            assert outcome(lambda: getattr(dtypes, function)(getattr(dtypes, a), getattr(dtypes, b))) \
                == outcome(lambda: getattr(torch, function)(getattr(torch, a), getattr(torch, b))), (function, a, b)


def test_promotion_arguments():
    for function in ("promote_types", "can_cast"):
        assert outcome(lambda: getattr(dtypes, function)(1, 2)) == outcome(lambda: getattr(torch, function)(1, 2))
        assert outcome(lambda: getattr(dtypes, function)(dtypes.int8, "x")) == outcome(lambda: getattr(torch, function)(torch.int8, "x"))


def operand(name, kind):
    """One operand as (ours, theirs); kinds are: with dimensions, zero-dimensional."""
    return (dtypes.by_name(name), kind == "zero", False), torch.empty(() if kind == "zero" else (2,), dtype=getattr(torch, name))


NUMBERS = [((dtypes.bool_, True, True), True), ((dtypes.int64, True, True), 3), ((dtypes.float64, True, True), 1.5),
           ((dtypes.complex128, True, True), 2j)]


@pytest.mark.filterwarnings("ignore:ComplexHalf")
def test_result_type_of_pairs(default):
    operands = [operand(n, k) for n in NAMES for k in ("dim", "zero")] + NUMBERS
    for (a, x), (b, y) in itertools.product(operands, operands):
        assert outcome(lambda: dtypes.result_type_of([a, b])) == outcome(lambda: torch.result_type(x, y)), (x, y)


@pytest.mark.filterwarnings("ignore:ComplexHalf")
def test_result_type_of_triples():
    """torch.result_type takes two; an op of three operands computes in the type of all three."""
    kinds = [operand(n, k) for n in ("bool", "uint8", "int32", "float16", "float64", "complex64") for k in ("dim", "zero")]
    for (a, x), (b, y), (c, z) in itertools.product(kinds, repeat=3):
        theirs = elementwise_dtypes(x, y, z, type_promotion_kind=ELEMENTWISE_TYPE_PROMOTION_KIND.NO_OPMATH)[0]
        assert str(dtypes.result_type_of([a, b, c])) == str(theirs)


def test_result_type_of_nothing():
    with pytest.raises(RuntimeError, match="at least one operand"):
        dtypes.result_type_of([])


def test_scalar_dtype(default):
    for value in (True, 3, 1.5, 2j, np.float64(1.5)):
        assert str(dtypes.scalar_dtype(value)) == str(torch.result_type(torch.tensor(False), value)), value
    with pytest.raises(TypeError):
        dtypes.scalar_dtype("1")


@pytest.mark.parametrize("bad", [5, "float32", "int32 dtype", "complex64 dtype"])
def test_set_default_dtype_errors(bad):
    ours, theirs = (bad, bad)
    if isinstance(bad, str) and bad.endswith(" dtype"):
        ours, theirs = dtypes.by_name(bad[:-6]), getattr(torch, bad[:-6])
    assert outcome(lambda: dtypes.set_default_dtype(ours)) == outcome(lambda: torch.set_default_dtype(theirs))
    assert dtypes.get_default_dtype() is dtypes.float32


@pytest.mark.parametrize("name", NAMES)
def test_info(name, default):
    for info in ("finfo", "iinfo"):
        ours = outcome(lambda: getattr(dtypes, info)(getattr(dtypes, name)))
        assert ours == outcome(lambda: getattr(torch, info)(getattr(torch, name)))
        if isinstance(ours, str):
            a, b = getattr(dtypes, info)(getattr(dtypes, name)), getattr(torch, info)(getattr(torch, name))
            for attribute in [k for k in dir(b) if k[0] != "_"]:
                x, y = getattr(a, attribute), getattr(b, attribute)
                assert (x, type(x)) == (y, type(y)), attribute
    assert repr(dtypes.finfo()) == repr(torch.finfo())
    assert outcome(lambda: dtypes.finfo(3)) == outcome(lambda: torch.finfo(3))
    assert outcome(lambda: dtypes.iinfo("x")) == outcome(lambda: torch.iinfo("x"))


def test_info_equality():
    assert dtypes.finfo(dtypes.float32) == dtypes.finfo(dtypes.float32) != dtypes.finfo(dtypes.float64)
    assert dtypes.iinfo(dtypes.int8) == dtypes.iinfo(dtypes.int8) != dtypes.iinfo(dtypes.uint8)


def test_numpy_round_trip():
    for d in dtypes.ALL:
        if d is dtypes.complex32:
            with pytest.raises(NotImplementedYet):
                d.np
            with pytest.raises(NotImplementedYet):
                d.lane
            continue
        assert dtypes.from_numpy_dtype(d.np) is d and d.np.itemsize == d.itemsize
        assert dtypes.from_numpy_dtype(d.np.newbyteorder(">")) is d
    for array in (np.array(["a"]), np.array([None])):
        assert outcome(lambda: dtypes.from_numpy_dtype(array.dtype)) == outcome(lambda: torch.from_numpy(array))


def test_opmath_and_lanes():
    assert {d.name: d.opmath.name for d in dtypes.ALL if d.opmath is not d} == {
        "float16": "float32", "bfloat16": "float32", "complex32": "complex64"}
    assert dtypes.bool_.lane == "i1" and dtypes.uint8.lane == "u8" and dtypes.bfloat16.lane == "bf16"
    assert [d.code for d in dtypes.ALL] == list(range(16))


def test_import_is_light():
    code = "import sys, frankentorch.dtypes; assert not {'ml_dtypes', 'torch', 'xdsl', 'llvmlite'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
