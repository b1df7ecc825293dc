"""device, memory_format, layout and Size against torch: values, reprs, errors."""

from __future__ import annotations

import copy
import importlib
import pickle
import threading

import numpy as np
import pytest
import torch

from frankentorch import errors
from frankentorch.size import Size

# The names of these modules are torch's classes at the top level.
devices = importlib.import_module("frankentorch.device")
formats = importlib.import_module("frankentorch.memory_format")


def outcome(call):
    """A call's result as text, or its exception's type and message."""
    try:
        return repr(call())
    except Exception as error:  # noqa: BLE001 (whatever is raised is what is compared)
        return type(error).__name__, str(error)


DEVICE_ARGUMENTS = [
    ("foo",), ("cpu",), ("cpu:0",), ("cpu", 0), ("cpu:0", 0), ("cuda:1",), (0,), ("meta",), ("meta:0",), ("cuda:",), ("cuda:01",),
    ("cuda:-1",), ("cuda", -1), ("cuda:a",), ("",), (), (None,), (1.5,), ("CPU",), (-1,), (True,), ("cuda", None), ("cuda", "1"),
    (":0",), ("cuda:0:1",), ("cuda: 1",), ("cuda:999999999999",), ("cuda:1", None), ("cpu", 1, 2), (b"cpu",), ("cuda", np.int64(1)),
    ("cuda", True), ("cuda", 1.0), ("foo:1",), ("cuda1",), ("mps",), ("xla:3",), ("foo:bar:2",), ("privateuseone",)]


@pytest.mark.parametrize("arguments", DEVICE_ARGUMENTS, ids=repr)
def test_device(arguments):
    assert outcome(lambda: devices.device(*arguments)) == outcome(lambda: torch.device(*arguments))
    assert outcome(lambda: str(devices.device(*arguments))) == outcome(lambda: str(torch.device(*arguments)))
    assert outcome(lambda: devices.device(*arguments).index) == outcome(lambda: torch.device(*arguments).index)


@pytest.mark.parametrize("keywords", [{"type": "cuda", "index": 1}, {"type": "cuda"}, {"device": "cpu"}, {"device": "cpu", "index": 1},
                                      {"foo": 1}, {"index": 1}], ids=repr)
def test_device_keywords(keywords):
    assert outcome(lambda: devices.device(**keywords)) == outcome(lambda: torch.device(**keywords))


def test_device_is_a_value():
    d = devices.device
    assert d("cpu") == d("cpu") != d("cpu:0") and d("cpu") != "cpu" and hash(d("cuda", 1)) == hash(d("cuda:1"))
    assert all(pickle.loads(pickle.dumps(d("cuda:1"), p)) is d("cuda:1") for p in range(pickle.HIGHEST_PROTOCOL + 1))
    assert copy.deepcopy(d("meta")) is d("meta") and d(d("meta:1")) is d("meta:1")
    for bad in (lambda D: setattr(D("cpu"), "type", "x"), lambda D: D("cpu").foo, lambda D: D("cpu") < D("cpu")):
        assert outcome(lambda bad=bad: bad(d)) == outcome(lambda bad=bad: bad(torch.device))


def test_default_device():
    assert devices.get_default_device() is devices.CPU is devices.tensor_device()
    with devices.device("meta") as entered, devices.device("meta"):
        assert entered is devices.META is devices.tensor_device() and devices.tensor_device("cpu:1") is devices.CPU
        seen = []
        thread = threading.Thread(target=lambda: seen.append(devices.get_default_device()))
        thread.start()
        thread.join()
        assert seen == [devices.CPU]
    assert devices.get_default_device() is devices.CPU
    devices.set_default_device("meta:1")
    assert str(devices.get_default_device()) == "meta:1" and devices.tensor_device() is devices.META
    devices.set_default_device(None)
    assert devices.get_default_device() is devices.CPU


def test_default_device_is_restored_by_an_error():
    with pytest.raises(KeyError), devices.device("meta"):
        raise KeyError
    assert devices.get_default_device() is devices.CPU


@pytest.mark.parametrize("where", ["cuda", "cuda:1", "xpu", "foo", 0, -1, 1.5, ""])
def test_refused_devices(where):
    assert outcome(lambda: devices.tensor_device(where)) == outcome(lambda: torch.empty(2, device=where))


def test_refused_backend_says_torch_s_first_sentence():
    theirs = outcome(lambda: torch.empty(2, device="mps"))
    ours = outcome(lambda: devices.tensor_device("mps"))
    assert ours[0] == theirs[0] and ours[1].split(". ")[0] == theirs[1].split(". ")[0]


NAMES = ["contiguous_format", "channels_last", "channels_last_3d", "preserve_format", "strided", "sparse_coo", "sparse_csr", "sparse_csc",
         "sparse_bsr", "sparse_bsc", "jagged"]


@pytest.mark.parametrize("name", NAMES)
def test_formats(name):
    ours, theirs = getattr(formats, name), getattr(torch, name)
    assert repr(ours) == repr(theirs) and repr(type(ours)) == repr(type(theirs))
    assert copy.copy(ours) is ours and copy.deepcopy([ours])[0] is ours
    assert all(pickle.loads(pickle.dumps(ours, p)) is ours for p in range(pickle.HIGHEST_PROTOCOL + 1))
    assert outcome(lambda: type(ours)()) == outcome(lambda: type(theirs)())


SIZE_CASES = [
    lambda S: S([1, 2]), lambda S: S((1, 2))[0], lambda S: S((1, 2, 3))[1:], lambda S: S((1, 2)) + (3,), lambda S: (3,) + S((1, 2)),
    lambda S: S((1, 2)) + [3], lambda S: S((1, 2)) * 2, lambda S: 2 * S((1, 2)), lambda S: S((2, 3)).numel(), lambda S: S(()).numel(),
    lambda S: S(["a"]), lambda S: S([1.5]), lambda S: S([True]), lambda S: S(5), lambda S: S(), lambda S: S([np.int64(3)]),
    lambda S: S([-1]), lambda S: S((1, 2)) == (1, 2), lambda S: hash(S((1, 2))) == hash((1, 2)), lambda S: S([torch.tensor(3)]),
    lambda S: S([torch.tensor(3.5)]), lambda S: str(S((1, 2))), lambda S: S((1,)), lambda S: S([1, None]), lambda S: S((1, 2, 3))[::-1],
    lambda S: copy.deepcopy(S((1, 2))), lambda S: S((0, 2)).numel(), lambda S: S([2**70]), lambda S: type(S([True])[0]),
    lambda S: S(x for x in (1, 2)), lambda S: S((1, 2)) + "a", lambda S: S((1, 2)) * 1.5, lambda S: S(np.array([2, 3])),
    lambda S: (1, 2) + S((3,)) + (4,), lambda S: pickle.loads(pickle.dumps(S((1, 2)))), lambda S: S((1, 2)) + ("a",),
    lambda S: ("a",) + S((1,)), lambda S: S((1, 2))[5], lambda S: S((1, 2))[1.5], lambda S: type("X", (S,), {}), lambda S: S.__module__]


@pytest.mark.parametrize("case", SIZE_CASES, ids=range(len(SIZE_CASES)))
def test_size(case):
    assert outcome(lambda: case(Size)) == outcome(lambda: case(torch.Size))


def test_every_error_says_cause_example_and_remedy():
    classes = [c for c in vars(errors).values() if isinstance(c, type) and c.__module__ == errors.__name__]
    assert len(classes) >= 6
    for c in classes:
        assert all(f"{part}:" in c.__doc__ for part in ("Cause", "Example", "Remedy")), c
    assert issubclass(errors.LinAlgError, RuntimeError) and issubclass(torch.linalg.LinAlgError, RuntimeError)
    assert issubclass(errors.MissingName, AttributeError) and issubclass(errors.MissingName, NotImplementedError)
