"""torch's file format and safetensors, both ways with the real libraries, and what hostile or damaged files do.

`access` runs every round trip twice: over torch itself, which shows the format alone, and over FrankenTorch.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import frankentorch as ft
from frankentorch.interop import pt_format as pt
from frankentorch.interop import safetensors as st
from frankentorch.interop.pt_pickle import CorruptFileError, UnsafeGlobalError

DTYPES = [
    "float32", "float64", "float16", "bfloat16", "uint8", "int8", "int16", "int32", "int64", "bool", "complex64", "complex128",
]  # fmt: skip
NEW_DTYPES = ["uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2"]


@pytest.fixture(params=["torch", "frankentorch"])
def lib(request: pytest.FixtureRequest) -> Any:
    return torch if request.param == "torch" else ft


def dump(obj: Any, lib: Any = torch) -> bytes:
    out = io.BytesIO()
    pt.save(obj, out, access=pt.TorchLike(lib))
    return out.getvalue()


def read(data: bytes, lib: Any = torch, **kwargs: Any) -> Any:
    return pt.load(io.BytesIO(data), access=pt.TorchLike(lib), **kwargs)


def torch_dump(obj: Any) -> bytes:
    out = io.BytesIO()
    torch.save(obj, out)
    return out.getvalue()


def torch_read(data: bytes) -> Any:
    return torch.load(io.BytesIO(data), weights_only=True)


def raw(x: Any) -> list[int]:
    """The bits of a tensor of either library, in logical order."""
    x = x.detach().contiguous().reshape(-1)
    carrier = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}
    lib = torch if isinstance(x, torch.Tensor) else ft
    if x.is_complex():
        return [(float(v.real), float(v.imag)) for v in x.numpy()]  # type: ignore[misc]
    return x.view(getattr(lib, carrier[x.element_size()])).tolist()


def name(dtype: Any) -> str:
    return str(dtype).rsplit(".", 1)[-1]


def sample(lib: Any, dtype: str, n: int = 12) -> Any:
    if dtype == "bool":
        return lib.tensor([i % 3 == 0 for i in range(n)])
    if dtype.startswith("uint") and dtype != "uint8":
        return lib.tensor(np.arange(n).astype(dtype))
    return lib.arange(n).to(getattr(lib, dtype))


@pytest.mark.parametrize("dtype", DTYPES + NEW_DTYPES)
def test_dtypes_both_ways(lib: Any, dtype: str) -> None:
    if not hasattr(lib, dtype):
        pytest.skip(f"{lib.__name__} has no {dtype}")
    theirs = sample(torch, dtype)
    back = read(torch_dump(theirs), lib)
    assert name(back.dtype) == dtype and raw(back) == raw(theirs)
    there = torch_read(dump(sample(lib, dtype), lib))
    assert name(there.dtype) == dtype and raw(there) == raw(theirs)


def shapes(lib: Any) -> dict[str, Any]:
    base = lib.arange(24.0)
    return {
        "base": base,
        "matrix": base.reshape(4, 6),
        "transposed": base.reshape(4, 6).t(),
        "strided": base[3:17:4],
        "column": base.reshape(4, 6)[:, 2],
        "expanded": base[:3].reshape(3, 1).expand(3, 5),
        "scalar": lib.tensor(2.5),
        "element": base[7],
        "empty": lib.ones(0, 3),
        "none": lib.tensor([]),
    }


def test_strides_and_sharing_from_torch(lib: Any) -> None:
    theirs = shapes(torch)
    mine = read(torch_dump(theirs), lib)
    for key, x in theirs.items():
        assert tuple(mine[key].shape) == tuple(x.shape) and tuple(mine[key].stride()) == tuple(x.stride()), key
        assert mine[key].storage_offset() == x.storage_offset() and raw(mine[key]) == raw(x), key
    mine["base"][7] = 100.0
    assert mine["element"].item() == 100.0 and mine["matrix"][1, 1].item() == 100.0 and mine["strided"][1].item() == 100.0


def test_strides_and_sharing_to_torch(lib: Any) -> None:
    mine = shapes(lib)
    theirs = torch_read(dump(mine, lib))
    for key, x in mine.items():
        assert tuple(theirs[key].shape) == tuple(x.shape) and raw(theirs[key]) == raw(x), key
    assert theirs["transposed"].stride() == (1, 6)
    theirs["base"][7] = 100.0
    assert theirs["element"].item() == 100.0


def test_one_memory_as_two_types_is_refused() -> None:
    x = torch.arange(4.0)
    for write in (dump, torch_dump):
        with pytest.raises(RuntimeError, match="Cannot save multiple tensors or storages that view the same data as different types"):
            write([x, x.view(torch.int32)])


def test_parameters_and_state_dicts(lib: Any) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    state = read(torch_dump(model.state_dict()), lib)
    assert type(state) is OrderedDict and list(state) == list(model.state_dict())
    assert state._metadata == model.state_dict()._metadata
    mine = lib.nn.Parameter(lib.ones(2))
    there = torch_read(dump({"p": mine, "frozen": lib.nn.Parameter(lib.ones(1), requires_grad=False), "g": lib.ones(1).requires_grad_()}, lib))
    assert type(there["p"]) is torch.nn.Parameter and there["p"].requires_grad
    assert type(there["frozen"]) is torch.nn.Parameter and not there["frozen"].requires_grad
    assert type(there["g"]) is torch.Tensor and there["g"].requires_grad
    again = read(torch_dump({"p": torch.nn.Parameter(torch.ones(2))}), lib)["p"]
    assert isinstance(again, lib.nn.Parameter) and again.requires_grad and again.is_leaf


def test_our_modules_state_dict_loads_in_torch() -> None:
    mine = ft.nn.Linear(3, 4)
    model = torch.nn.Linear(3, 4)
    model.load_state_dict(torch_read(dump(mine.state_dict(), ft)))
    assert raw(model.weight) == raw(mine.weight)


def test_optimizer_state_dicts_both_ways() -> None:
    def trained(t: Any) -> Any:
        p = t.ones(3).requires_grad_()
        opt = t.optim.AdamW([p], lr=0.1)
        p.grad = t.ones(3)
        opt.step()
        return opt

    theirs = trained(torch)
    theirs.load_state_dict(torch_read(dump(trained(ft).state_dict(), ft)))
    mine = trained(ft)
    mine.load_state_dict(read(torch_dump(theirs.state_dict()), ft))
    (state,) = mine.state.values()
    assert state["step"].item() == 1.0
    mine.step()
    assert state["step"].item() == 2.0


def plain_objects(lib: Any) -> dict[str, Any]:
    shared = [1, 2]
    return {
        "numbers": [0, 1, -1, 255, 256, 65536, -(2**31), 2**70, -(2**70), 1.5, float("inf"), True, False, None],
        "complex": 1 + 2j,
        "text": ["", "abc", "äöü", "x" * 300],
        "bytes": [b"", b"abc", bytes(range(256))],
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((1,), [2])],
        "sets": {1, 2, 3},
        "ordered": OrderedDict(b=1, a=2),
        "counter": Counter("abca"),
        "size": lib.Size([2, 3]),
        "dtype": lib.bfloat16,
        "dtypes": [lib.float32, lib.float32, lib.int64],
        "device": lib.device("cpu"),
        "shared": [shared, shared],
        3: "int key",
        (1, 2): "tuple key",
    }


def test_plain_objects(lib: Any) -> None:
    mine, theirs = plain_objects(lib), plain_objects(torch)
    there = torch_read(dump(mine, lib))
    assert there == theirs
    back = read(torch_dump(theirs), lib)
    assert back == mine
    assert type(back["size"]) is type(mine["size"]) and type(back["counter"]) is Counter
    assert back["shared"][0] is back["shared"][1] and there["shared"][0] is there["shared"][1]


def test_a_list_that_holds_itself(lib: Any) -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    back = read(dump(loop, lib), lib)
    assert back[1] is back


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickle_protocols(protocol: int) -> None:
    out = io.BytesIO()
    obj = {"x": torch.arange(3.0), "s": {1, 2}, "f": frozenset([1]), "b": b"abc", "ba": bytearray(b"xyz"), "t": "x" * 70000, "l": list(range(300))}
    torch.save(obj, out, pickle_protocol=protocol)
    back = read(out.getvalue())
    assert raw(back.pop("x")) == raw(obj.pop("x")) and back == obj


def test_paths_and_files(lib: Any, tmp_path: Path) -> None:
    x = lib.arange(4.0)
    path = tmp_path / "model.v1.pt"
    pt.save(x, path, access=pt.TorchLike(lib))
    assert raw(torch.load(path, weights_only=True)) == raw(x)
    assert raw(torch.load(path, weights_only=True, mmap=True)) == raw(x)
    assert raw(pt.load(str(path), access=pt.TorchLike(lib))) == raw(x)
    with open(path, "rb") as file:
        assert raw(pt.load(file, access=pt.TorchLike(lib), mmap=False)) == raw(x)
    assert zipfile.ZipFile(path).namelist()[0] == "model.v1/data.pkl"


def test_own_binding(tmp_path: Path) -> None:
    pt.save({"x": ft.ones(2)}, tmp_path / "x.pt")
    assert pt.load(tmp_path / "x.pt")["x"].tolist() == [1.0, 1.0]


def test_records_are_aligned_and_reproducible(lib: Any) -> None:
    obj = {str(i): lib.arange(i + 1) for i in range(5)}
    data = dump(obj, lib)
    assert data == dump(obj, lib)
    for info in zipfile.ZipFile(io.BytesIO(data)).infolist():
        names, extra = struct.unpack_from("<HH", data, info.header_offset + 26)
        assert (info.header_offset + 30 + names + extra) % 64 == 0
        assert info.compress_type == zipfile.ZIP_STORED


def test_negative_and_conjugate_bits() -> None:
    x = {"neg": torch._neg_view(torch.arange(3.0)), "conj": torch.tensor([1 + 2j]).conj()}
    back = read(torch_dump(x))
    assert back["neg"].tolist() == [0.0, -1.0, -2.0] and back["conj"].tolist() == [1 - 2j]
    there = torch_read(dump(x))
    assert there["neg"].tolist() == [0.0, -1.0, -2.0] and there["conj"].tolist() == [1 - 2j]


def test_attributes_of_tensors() -> None:
    x = torch.ones(2)
    x.tag = "label"
    assert read(torch_dump(x)).tag == "label"


# -- devices -------------------------------------------------------------------------------------------------------------------


def relocated(data: bytes, where: str = "cuda:0") -> bytes:
    """The same file, saying its storages lived elsewhere."""
    return rewritten(data, lambda body: body.replace(b"X\x03\x00\x00\x00cpu", b"X" + struct.pack("<I", len(where)) + where.encode()))


def rewritten(data: bytes, change: Any, record: str = "data.pkl", **extra: bytes) -> bytes:
    source, out = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        for key in source.namelist():
            body = source.read(key)
            target.writestr(key, change(body) if key == f"archive/{record}" else body)
        for key, body in extra.items():
            target.writestr(key, body)
    return out.getvalue()


def test_map_location() -> None:
    data = relocated(torch_dump(torch.ones(2)))
    with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device but torch.cuda.is_available"):
        read(data)
    for where in ("cpu", torch.device("cpu"), {"cuda:0": "cpu"}, lambda storage, location: storage):
        assert read(data, map_location=where).tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="only the CPU is available"):
        read(data, map_location="cuda:1")
    with pytest.raises(RuntimeError, match="CUDA device"):
        read(data, map_location=lambda storage, location: None)


# -- hostile and damaged files -------------------------------------------------------------------------------------------------


class Runs:
    """Unpickled by an ordinary unpickler, this would run a command."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def with_pickle(body: bytes) -> bytes:
    return rewritten(torch_dump(torch.ones(2)), lambda _: body)


@pytest.mark.parametrize("weights_only", [None, True, False])
def test_foreign_globals_are_refused(tmp_path: Path, weights_only: bool | None) -> None:
    target = tmp_path / "ran"
    data = torch_dump({"a": torch.ones(1), "x": Runs(str(target))})
    with pytest.raises(UnsafeGlobalError, match=r"Unsupported global: GLOBAL (posix|nt)\.system was not an allowed global"):
        read(data, weights_only=weights_only)
    assert not target.exists()
    assert issubclass(UnsafeGlobalError, pickle.UnpicklingError)


@pytest.mark.parametrize(
    "body",
    [
        b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.",
        b"\x80\x02c__builtin__\ngetattr\n.",
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.",
        b"\x80\x02ctorch\nload\n.",
        b"\x80\x02cfrankentorch\nload\n.",
        b"\x80\x02cnumpy\nload\n.",
        # An instance of a class that is not listed; the state of something that has none to set.
        b"\x80\x02c__builtin__\ncomplex\n)\x81.",
        b"\x80\x02ccollections\nOrderedDict\n}X\x01\x00\x00\x00aK\x01sb.",
        b"\x80\x02ctorch\ndevice\n}X\x04\x00\x00\x00typeK\x01sb.",
        b"\x80\x02]}X\x01\x00\x00\x00aK\x01sb.",
        # A call of something the file did not name.
        b"\x80\x02]K\x01\x85R.",
    ],
)
def test_hostile_pickles_are_refused(body: bytes) -> None:
    with pytest.raises(UnsafeGlobalError):
        read(with_pickle(body))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x80\x02",
        b".",
        b"\x80\x02K",
        b"\x80\x02]]. ",
        b"\x80\x02t.",
        b"\x80\x02(K\x01K\x02u.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02}]K\x01s.",
        b"\x80\x02K\x01K\x02a.",
        b"\x80\x02h\x07.",
        b"\x80\x09N.",
        b"\x80\x02X\xff\xff\xff\x7fabc.",
        b"\x80\x02\x8b\xff\xff\xff\xffabc.",
        b"\x80\x02X\x01\x00\x00\x00\xff.",
        b"\x80\x02Iabc\n.",
        b"\x80\x02K\x05Q.",
        b"\x80\x02ccollections\nOrderedDict\nK\x05R.",
        b"\x80\x02ccollections\nOrderedDict\nK\x05\x85R.",
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00utf-7\x86R.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00)))K\x00tR.",
        b"\x80\x02ctorch._utils\n_rebuild_parameter\nK\x01\x88}\x87R.",
    ],
)
def test_broken_pickles_are_named(body: bytes) -> None:
    with pytest.raises(CorruptFileError):
        read(with_pickle(body))


def tensor_pickle(offset: int, size: tuple[int, ...], stride: tuple[int, ...], key: str = "0", count: int = 4) -> bytes:
    from frankentorch.interop.pt_pickle import TorchGlobal, dumps

    class Ref:
        pass

    kind = TorchGlobal("torch", "FloatStorage")
    args = (Ref(), offset, size, stride, False, OrderedDict())
    call = type("Call", (), {"__reduce__": lambda self: (TorchGlobal("torch._utils", "_rebuild_tensor_v2"), args)})()
    return dumps(call, lambda x: NotImplemented, lambda x: ("storage", kind, key, "cpu", count) if isinstance(x, Ref) else None)


@pytest.mark.parametrize(
    "args",
    [
        (0, (5,), (1,)),
        (1, (4,), (1,)),
        (0, (2, 2), (3, 1)),
        (5, (0,), (1,)),
        (0, (-1,), (1,)),
        (3, (2,), (-1,)),
        (-1, (2,), (1,)),
        (0, (2, 2), (1,)),
        (0, (2**62, 2**62), (2**62, 1)),
        (0, (2.0,), (1,)),
        (0, (4,), (1,), "0", 5),
        (0, (4,), (1,), "1"),
        (0, (4,), (1,), "../0"),
    ],
)
def test_tensors_outside_their_storage(args: Any) -> None:
    good = rewritten(torch_dump(torch.arange(4.0)), lambda _: tensor_pickle(0, (2, 2), (2, 1)))
    assert read(good).tolist() == [[0.0, 1.0], [2.0, 3.0]]
    with pytest.raises(CorruptFileError):
        read(rewritten(torch_dump(torch.arange(4.0)), lambda _: tensor_pickle(*args)))


def test_attributes_cannot_replace_methods() -> None:
    x = torch.ones(2)
    x.__dict__["backward"] = 1
    with pytest.raises(UnsafeGlobalError, match="sets the attribute 'backward'"):
        read(torch_dump(x))


@pytest.mark.parametrize("lost", [1, 22, 100, 700])
def test_truncated_files(lost: int) -> None:
    with pytest.raises(CorruptFileError, match="PytorchStreamReader failed reading zip archive"):
        read(torch_dump(torch.arange(1000.0))[:-lost])


def test_every_flipped_bit_of_the_data_is_noticed() -> None:
    data = torch_dump({"x": torch.arange(50.0)})
    for info in zipfile.ZipFile(io.BytesIO(data)).infolist():
        names, extra = struct.unpack_from("<HH", data, info.header_offset + 26)
        start = info.header_offset + 30 + names + extra
        if not info.filename.endswith(("data.pkl", "data/0", "byteorder")):
            continue
        for at in range(start, start + info.file_size, max(1, info.file_size // 7)):
            damaged = bytearray(data)
            damaged[at] ^= 4
            with pytest.raises(CorruptFileError, match="Bad CRC-32"):
                read(bytes(damaged))


def test_other_files() -> None:
    with pytest.raises(EOFError):
        read(b"")
    with pytest.raises(CorruptFileError, match="failed finding central directory"):
        read(b"no zip at all")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("readme.txt", "hello")
    with pytest.raises(CorruptFileError, match="no record data.pkl"):
        read(out.getvalue())
    old = io.BytesIO()
    torch.save(torch.ones(1), old, _use_new_zipfile_serialization=False)
    with pytest.raises(NotImplementedError, match="before torch 1.6"):
        read(old.getvalue())
    with pytest.raises(FileNotFoundError):
        pt.load("/nowhere/at/all.pt", access=pt.TorchLike(torch))
    with pytest.raises(AttributeError):
        pt.load(3, access=pt.TorchLike(torch))


def test_missing_compressed_and_double_records() -> None:
    data = torch_dump(torch.arange(4.0))
    source = zipfile.ZipFile(io.BytesIO(data))

    def made(keep: Any, method: int = zipfile.ZIP_STORED, twice: str = "") -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as z:
            for key in source.namelist():
                if keep(key):
                    z.writestr(key, source.read(key))
            if twice:
                with pytest.warns(UserWarning):
                    z.writestr(twice, b"x")
        return out.getvalue()

    with pytest.raises(CorruptFileError, match="record data/0 is missing"):
        read(made(lambda key: not key.endswith("data/0")))
    with pytest.raises(CorruptFileError, match="compressed"):
        read(made(lambda key: True, zipfile.ZIP_DEFLATED))
    with pytest.raises(CorruptFileError, match="two records of one name"):
        read(made(lambda key: True, twice="archive/data/0"))


def test_big_endian_files() -> None:
    x = torch.tensor([1.5, -2.0, 1e10])
    c = torch.tensor([1 + 2j])
    swapped = lambda body: np.frombuffer(body, "<u4").byteswap().tobytes()  # noqa: E731
    for value in (x, c):
        data = rewritten(torch_dump(value), lambda _: b"big", "byteorder")
        assert read(rewritten(data, swapped, "data/0")).tolist() == value.tolist()


# -- trusted names -------------------------------------------------------------------------------------------------------------


class Config:
    def __init__(self, width: int) -> None:
        self.width = width


class Stateful:
    def __setstate__(self, state: Any) -> None:
        self.seen = state


def test_safe_globals() -> None:
    data = torch_dump({"config": Config(7)})
    with pytest.raises(UnsafeGlobalError, match="Config"):
        read(data)
    with pt.safe_globals([Config]):
        assert pt.get_safe_globals() == [Config]
        assert read(data)["config"].width == 7
    with pytest.raises(UnsafeGlobalError):
        read(data)
    pt.add_safe_globals([(Config, f"{Config.__module__}.Config")])
    assert read(data)["config"].width == 7
    pt.clear_safe_globals()
    assert pt.get_safe_globals() == []


def test_safe_globals_with_a_state_method() -> None:
    x = Stateful()
    x.a = 1
    with pt.safe_globals([Stateful]):
        assert read(torch_dump(x)).seen == {"a": 1}


def test_trust_cannot_replace_the_table() -> None:
    """A user's entry never shadows the functions that check their arguments."""
    with pt.safe_globals([(print, "torch._utils._rebuild_tensor_v2")]):
        assert read(torch_dump(torch.ones(2))).tolist() == [1.0, 1.0]


# -- safetensors ---------------------------------------------------------------------------------------------------------------


def st_sample(lib: Any) -> dict[str, Any]:
    names = [d for d in [*DTYPES, *NEW_DTYPES] if d != "complex128" and hasattr(ft, d)]
    made = {d: sample(lib, d) for d in names}
    return {**made, "scalar": lib.tensor(3.5), "empty": lib.ones(0, 2), "turned": lib.arange(6.0).reshape(2, 3).t()}


def test_safetensors_both_ways(lib: Any, tmp_path: Path) -> None:
    theirs = pytest.importorskip("safetensors.torch")
    mine = st_sample(lib)
    data = st.save(mine, {"format": "pt"}, module=lib)
    there = theirs.load(data)
    assert set(there) == set(mine)
    for key, x in mine.items():
        assert name(there[key].dtype) == name(x.dtype) and tuple(there[key].shape) == tuple(x.shape), key
        assert raw(there[key]) == raw(x), key
    path = tmp_path / "x.safetensors"
    theirs.save_file({k: v.contiguous() for k, v in st_sample(torch).items()}, path)
    back = st.load_file(path, module=lib)
    for key in back:
        assert raw(back[key]) == raw(there[key]) if key in there else True, key
    st.save_file(mine, path, module=lib)
    assert set(theirs.load_file(path)) == set(mine)
    assert set(pt.load(path, access=pt.TorchLike(lib))) == set(mine)


def test_safetensors_errors() -> None:
    pytest.importorskip("safetensors")
    good = st.save({"x": torch.ones(2)}, module=torch)
    for bad in (b"", good[:-1], good[:10], b"\xff" * 20):
        with pytest.raises(CorruptFileError):
            st.load(bad, module=torch)
    with pytest.raises(ValueError, match="Key `x` is invalid"):
        st.save({"x": 3}, module=torch)
    with pytest.raises(ValueError, match="Expected a dict"):
        st.save([torch.ones(1)], module=torch)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="does not hold"):
        st.save({"x": torch.ones(1, dtype=torch.complex128)}, module=torch)
