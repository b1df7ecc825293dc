"""Element types: the dtype singletons, torch's promotion rules, finfo and iinfo.

Enters: dtypes, Python scalars, numpy dtypes. Leaves: dtypes. Nothing here imports numpy until a dtype's `np` is read.

Names that would shadow a builtin are ``bool_`` here; ``dtypes.bool``, ``dtypes.float`` and every other torch alias are
served through `ALIASES` by the module's ``__getattr__``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

from .errors import MissingName, NotImplementedYet

BOOL, INT, FLOAT, COMPLEX = range(4)


class dtype:
    """An element type. Singletons: compare with ``is``; copying and pickling give the same object back.

    Beyond torch's attributes: `category` (0 bool, 1 int, 2 float, 3 complex), `scalar_name` (torch's C++ name, as in
    error messages), `np` (the numpy dtype), `opmath` (the dtype arithmetic is done in), `lane` (the LLVM lane's short
    name; bool is "i1" and is stored as a byte) and `code` (a small integer, dense, fixed within a release).
    """

    __slots__ = ("_text", "abbr", "category", "code", "is_complex", "is_floating_point", "is_signed", "itemsize", "lane", "name",
                 "np", "opmath", "scalar_name")
    __module__ = "torch"

    name: str
    code: int
    category: int
    itemsize: int
    is_floating_point: bool
    is_complex: bool
    is_signed: bool
    scalar_name: str
    abbr: str
    opmath: dtype
    lane: str
    np: Any

    def __new__(cls, *args: object, **kwargs: object) -> dtype:  # noqa: PYI034 (it never returns)
        raise TypeError("cannot create 'torch.dtype' instances")

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("type 'torch.dtype' is not an acceptable base type")

    def __getattr__(self, attribute: str) -> Any:
        if attribute == "np":
            value = _numpy_dtype(self)
            object.__setattr__(self, "np", value)
            return value
        if attribute == "lane":
            raise NotImplementedYet(f"no kernel computes on {self!r}; convert to torch.complex64 first")
        raise AttributeError(f"'torch.dtype' object has no attribute '{attribute}'")

    def __setattr__(self, attribute: str, value: object) -> NoReturn:
        raise AttributeError(f"'torch.dtype' object has no attribute '{attribute}'")

    def __repr__(self) -> str:
        return self._text  # type: ignore[no-any-return]

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return by_name, (self.name,)

    def to_real(self) -> dtype:
        """The dtype of one part of a complex number; any other dtype is itself."""
        return _REAL.get(self, self)

    def to_complex(self) -> dtype:
        """The complex dtype that holds this one exactly (bfloat16 goes to complex64, as in torch)."""
        found = _COMPLEX.get(self)
        if found is None:
            raise RuntimeError(f"Unknown Complex ScalarType for {self.scalar_name}")
        return found


ALL: list[dtype] = []


def _make(name: str, scalar_name: str, category: int, itemsize: int, abbr: str, lane: str | None, opmath: dtype | None = None) -> dtype:
    self: dtype = object.__new__(dtype)
    fields = {"name": name, "code": len(ALL), "category": category, "itemsize": itemsize, "is_floating_point": category == FLOAT,
              "is_complex": category == COMPLEX, "is_signed": category > BOOL and name[0] != "u", "scalar_name": scalar_name,
              "abbr": abbr, "opmath": opmath or self, "_text": f"torch.{name}"}
    if lane is not None:
        fields["lane"] = lane
    for attribute, value in fields.items():
        object.__setattr__(self, attribute, value)
    ALL.append(self)
    return self


bool_ = _make("bool", "Bool", BOOL, 1, "b8", "i1")
uint8 = _make("uint8", "Byte", INT, 1, "u8", "u8")
int8 = _make("int8", "Char", INT, 1, "i8", "i8")
int16 = _make("int16", "Short", INT, 2, "i16", "i16")
int32 = _make("int32", "Int", INT, 4, "i32", "i32")
int64 = _make("int64", "Long", INT, 8, "i64", "i64")
uint16 = _make("uint16", "UInt16", INT, 2, "u16", "u16")
uint32 = _make("uint32", "UInt32", INT, 4, "u32", "u32")
uint64 = _make("uint64", "UInt64", INT, 8, "u64", "u64")
float32 = _make("float32", "Float", FLOAT, 4, "f32", "f32")
float64 = _make("float64", "Double", FLOAT, 8, "f64", "f64")
float16 = _make("float16", "Half", FLOAT, 2, "f16", "f16", float32)
bfloat16 = _make("bfloat16", "BFloat16", FLOAT, 2, "bf16", "bf16", float32)
complex64 = _make("complex64", "ComplexFloat", COMPLEX, 8, "c64", "c64")
complex128 = _make("complex128", "ComplexDouble", COMPLEX, 16, "c128", "c128")
# complex32 exists so that promotion and error messages are torch's; it has no numpy dtype and no lane.
complex32 = _make("complex32", "ComplexHalf", COMPLEX, 4, "c32", None, complex64)

BY_NAME: dict[str, dtype] = {d.name: d for d in ALL}
ALIASES: dict[str, dtype] = {
    "bool": bool_, "short": int16, "int": int32, "long": int64, "half": float16, "float": float32, "double": float64,
    "chalf": complex32, "cfloat": complex64, "cdouble": complex128,
}
TYPE_NAMES: dict[str, dtype] = {f"torch.{d.scalar_name}Tensor": d for d in ALL}
_COMPLEX: dict[dtype, dtype] = {float16: complex32, bfloat16: complex64, float32: complex64, float64: complex128,
                                complex32: complex32, complex64: complex64, complex128: complex128}
_REAL: dict[dtype, dtype] = {complex32: float16, complex64: float32, complex128: float64}
_BAREBONES = frozenset((uint16, uint32, uint64))
_ABSENT = frozenset(
    ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2", "bit",
     "bits8", "bits16", "bits1x8", "bits2x4", "bits4x2", "qint8", "qint32", "quint8", "quint2x4", "quint4x2"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in range(1, 8)])


def __getattr__(name: str) -> dtype:
    if name in ALIASES:
        return ALIASES[name]
    if name in _ABSENT:
        raise MissingName(f"torch.{name} is not implemented: FrankenTorch has no float8, quantised or sub-byte element types")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def by_name(name: str) -> dtype:
    """The dtype called ``name`` ("float32"), or a torch alias of it ("float")."""
    return BY_NAME.get(name) or __getattr__(name)


# numpy ------------------------------------------------------------------------------------------------------------
def _numpy_dtype(d: dtype) -> Any:
    import numpy
    if d is complex32:
        raise NotImplementedYet("torch.complex32 has no numpy dtype; convert to torch.complex64 first")
    if d is bfloat16:
        import ml_dtypes
        return numpy.dtype(ml_dtypes.bfloat16)
    return numpy.dtype(d.name)


def from_numpy_dtype(numpy_dtype: Any) -> dtype:
    """The dtype of a numpy dtype (or scalar type), whatever its byte order; torch's TypeError for one torch lacks."""
    import numpy
    numpy_dtype = numpy.dtype(numpy_dtype)
    found = BY_NAME.get(numpy_dtype.name)
    if found is None:
        raise TypeError(f"can't convert np.ndarray of type {numpy_dtype.type.__module__}.{numpy_dtype.type.__name__}. The only supported types "
                        "are: float64, float32, float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, "
                        "uint16, uint8, and bool.")
    return found


# The default dtype --------------------------------------------------------------------------------------------------
_default: dtype = float32


def get_default_dtype() -> dtype:
    """The dtype a Python float takes when nothing else says."""
    return _default


def get_default_complex_dtype() -> dtype:
    """The dtype a Python complex takes when nothing else says."""
    return _COMPLEX[_default]


def set_default_dtype(d: dtype, /) -> None:
    """Set the default floating-point dtype; TypeError for anything else, as torch."""
    global _default
    if not isinstance(d, dtype):
        raise TypeError("invalid dtype object: only floating-point types are supported as the default type")
    if not d.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    _default = d


# Promotion ----------------------------------------------------------------------------------------------------------
def _promote(a: dtype, b: dtype) -> dtype:
    if a is b:
        return a
    low, high = (a, b) if a.category <= b.category else (b, a)
    if high.category == FLOAT and low.category < FLOAT:
        return high
    if a in _BAREBONES or b in _BAREBONES:
        raise RuntimeError("Promotion for uint16, uint32, uint64 types is not supported, "
                           f"attempted to promote {a.scalar_name} and {b.scalar_name}")
    if high.category == COMPLEX:
        return high if low.category < FLOAT else _COMPLEX[_promote(low.to_real(), high.to_real())]
    if low.category < high.category:
        return high
    if a.itemsize == b.itemsize:  # the only unlike pairs of one size: float16 with bfloat16, uint8 with int8
        return float32 if a.category == FLOAT else int16
    return a if a.itemsize > b.itemsize else b


_PROMOTED: dict[tuple[dtype, dtype], dtype] = {
    (a, b): _promote(a, b) for a in ALL for b in ALL
    if a is b or not (_BAREBONES & {a, b}) or FLOAT in (a.category, b.category) and COMPLEX not in (a.category, b.category)}


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest dtype both convert to without changing category, in torch's lattice."""
    found = _PROMOTED.get((type1, type2))
    if found is not None:
        return found
    _check_dtype("promote_types", "type1", 1, type1)
    _check_dtype("promote_types", "type2", 2, type2)
    return _promote(type1, type2)


def can_cast(from_: dtype, to: dtype) -> bool:
    """Whether torch lets an in-place op or ``out=`` write ``from_`` into ``to``: the category may not fall."""
    _check_dtype("can_cast", "from_", 1, from_)
    _check_dtype("can_cast", "to", 2, to)
    if from_.category == INT:
        return to.category != BOOL
    return to.category >= from_.category


def _check_dtype(function: str, argument: str, position: int, value: object) -> None:
    if not isinstance(value, dtype):
        raise TypeError(f"{function}(): argument '{argument}' (position {position}) must be torch.dtype, not {type(value).__name__}")


def _outrank(higher: dtype | None, lower: dtype | None) -> dtype | None:
    """Combine two priority classes: the lower one counts only where it is of a higher category."""
    if higher is None or lower is None:
        return higher or lower
    if higher.category >= lower.category:
        return higher
    if higher.category == FLOAT:
        return _COMPLEX[higher]
    return promote_types(higher, lower) if higher is bool_ else lower


def result_type_of(operands: Iterable[tuple[dtype, bool, bool]]) -> dtype:
    """The dtype torch computes in, for operands given as (dtype, is zero-dimensional, is a Python number).

    Operands with dimensions decide; zero-dimensional tensors, then Python numbers, count only where their category is
    higher. A Python float or complex counts as the default dtype (or its complex).
    """
    dimensioned: dtype | None = None
    zero_dim: dtype | None = None
    number: dtype | None = None
    for d, is_zero_dim, is_number in operands:
        if is_number:
            if d.category == COMPLEX:
                d = _COMPLEX[_default]
            elif d.category == FLOAT:
                d = _default
            number = d if number is None else promote_types(number, d)
        elif is_zero_dim:
            zero_dim = d if zero_dim is None else promote_types(zero_dim, d)
        else:
            dimensioned = d if dimensioned is None else promote_types(dimensioned, d)
    found = _outrank(dimensioned, _outrank(zero_dim, number))
    if found is None:
        raise RuntimeError("result_type needs at least one operand")
    return found


def scalar_dtype(value: object) -> dtype:
    """The dtype ``torch.tensor(value)`` has for a Python number: bool, int64, the default dtype or its complex."""
    if isinstance(value, bool):
        return bool_
    if isinstance(value, int):
        return int64
    if isinstance(value, float):
        return _default
    if isinstance(value, complex):
        return _COMPLEX[_default]
    raise TypeError(f"not a Python number: {type(value).__name__}")


# finfo, iinfo --------------------------------------------------------------------------------------------------------
# mantissa bits stored, greatest exponent, decimal digits always kept
_FORMATS = {"float16": (10, 15, 3), "bfloat16": (7, 127, 2), "float32": (23, 127, 6), "float64": (52, 1023, 15)}


class finfo:
    """The limits of a floating-point dtype (of one part, for a complex one), as Python floats."""

    __module__ = "torch"
    __slots__ = ("bits", "dtype", "eps", "max", "min", "resolution", "smallest_normal", "tiny")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, type: dtype | None = None) -> None:
        type = _default if type is None else type
        if not isinstance(type, dtype):
            raise TypeError(f"finfo(): argument 'type' (position 1) must be torch.dtype, not {type.__class__.__name__}")
        if type.category < FLOAT:
            raise TypeError("torch.finfo() requires a floating point input type. Use torch.iinfo to handle 'torch.finfo'")
        real = type.to_real()
        mantissa, exponent, digits = _FORMATS[real.name]
        self.dtype = real.name
        self.bits = real.itemsize * 8
        self.eps = 2.0 ** -mantissa
        self.max = (2.0 - self.eps) * 2.0 ** exponent
        self.min = -self.max
        self.tiny = self.smallest_normal = 2.0 ** (1 - exponent)
        self.resolution = float(f"1e-{digits}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, finfo) and self.dtype == other.dtype

    def __repr__(self) -> str:
        return (f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
                f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})")


class iinfo:
    """The limits of an integer dtype, as Python ints."""

    __module__ = "torch"
    __slots__ = ("bits", "dtype", "max", "min")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, type: dtype) -> None:
        if not isinstance(type, dtype):
            raise TypeError(f"iinfo(): argument 'type' (position 1) must be torch.dtype, not {type.__class__.__name__}")
        if type.category == BOOL:
            raise TypeError("torch.bool is not supported by torch.iinfo")
        if type.category != INT:
            raise TypeError("torch.iinfo() requires an integer input type. Use torch.finfo to handle 'torch.iinfo'")
        self.dtype = type.name
        self.bits = type.itemsize * 8
        self.max = 2 ** (self.bits - type.is_signed) - 1
        self.min = -self.max - 1 if type.is_signed else 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, iinfo) and self.dtype == other.dtype

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"
