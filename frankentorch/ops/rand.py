"""Random draws: one row, whose kinds are those of `lower.random`; torch's random functions and in-place draws over it.

A draw is an ordered effect on its generator's state: the state's address is an operand, kept in recording order, never dropped and
never shared. Reading or setting a state first runs what is pending.
"""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np

from .. import dtypes
from ..runtime import random as streams
from . import call
from .call import is_tensor
from .create import finish as finish_constructor
from .create import full_of, sizes
from .define import api, composite, primitive
from .movement import as_strided_row
from .record import Scalar, emit, state
from .table import Kind, NoGrad
from .types import dense_type, fastest_first, scalar_type, tensor_type

GENERATORS: weakref.WeakValueDictionary[int, Generator] = weakref.WeakValueDictionary()


class Generator(streams.Generator):
    """A source of random numbers, as torch.Generator: its state is torch's, byte for byte."""

    def __init__(self, device: Any = "cpu", **kwargs: Any) -> None:
        super().__init__(str(device), **kwargs)
        GENERATORS[self.address] = self

    @property
    def device(self) -> Any:  # type: ignore[override]
        from ..device import CPU

        return CPU

    def _settle(self) -> None:
        trace = state.trace
        if trace.can_cut and trace.instrs:
            trace.cut("generator state")

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream again from a seed; what was drawn before is drawn first."""
        self._settle()
        super().manual_seed(seed)
        return self

    def seed(self) -> int:
        self._settle()
        return super().seed()

    def get_state(self) -> Any:  # type: ignore[override]
        """The state as a uint8 tensor of torch's 5056 bytes."""
        from ..construct import from_array

        self._settle()
        return from_array(np.frombuffer(super().get_state(), dtype=np.uint8))

    def state_bytes(self) -> bytes:
        self._settle()
        return super().get_state()

    def set_state(self, new_state: Any) -> Generator:
        """Take a state from `get_state` (ours or torch's bytes)."""
        self._settle()
        if is_tensor(new_state):
            if new_state.dtype is not dtypes.uint8:
                raise TypeError("RNG state must be a torch.ByteTensor")
            new_state = new_state._concrete().tobytes()
        super().set_state(bytes(new_state))
        return self

    def reference_now(self) -> Any:
        """The stream in numpy, in the state that the last run left."""
        from ..lower.random_reference import ReferenceStream

        return ReferenceStream(streams.Generator.get_state(self))

    def clone_state(self) -> Generator:
        other = Generator()
        other.set_state(self.state_bytes())
        return other

    def __getstate__(self) -> bytes:
        return self.state_bytes()

    def __setstate__(self, data: bytes) -> None:
        Generator.__init__(self)
        self.set_state(data)

    def __repr__(self) -> str:
        return f"<torch._C.Generator object at {hex(id(self))}>"


class StateScalar(Scalar):
    """The address of a generator's state as an operand; keeps the generator alive."""

    __slots__ = ("owner",)

    def __init__(self, generator: Generator) -> None:
        super().__init__(scalar_type(dtypes.int64), generator.address)
        self.owner = generator


default_generator = Generator()
streams.Generator.set_state(default_generator, streams.default_generator.get_state())


def _ref(address: Any, *params: Any, kind: str, size: Any, dtype: Any, p_dtype: str) -> Any:
    generator = GENERATORS[int(address)]
    stream = generator.reference_now()
    values = [p.reshape(-1) if np.ndim(p) else (int(p) if np.asarray(p).dtype.kind in "iu" else float(p)) for p in params]
    raw = stream.draw(kind, dtype.lane, math.prod(size), *values, p_dtype=p_dtype)
    streams.Generator.set_state(generator, stream.state())
    return np.asarray(raw).view(dtype.np).reshape(size) if dtype.itemsize == np.asarray(raw).dtype.itemsize else np.asarray(raw).reshape(size)


draw_row = primitive("draw(Scalar state, Tensor[] params, *, str kind, int[] size, ScalarType dtype, str p_dtype) -> Tensor", Kind.RANDOM,
                     doc="Draws of one kind, filling memory in order.", infer=lambda types, attrs: (tensor_type(attrs[2], attrs[1]),), ref=_ref,
                     vjp=NoGrad("a random draw depends on no value"), attrs=("kind", "size", "dtype", "p_dtype"), traits=("random",))


def draw(kind: str, size: Any, dtype: Any, *params: Any, generator: Any = None, p_dtype: str = "") -> Any:
    """Record a draw. Parameters are numbers (floats as f64, ints as i64) or contiguous tensors with one element a draw."""
    operands: list[Any] = [StateScalar(generator or default_generator)]
    for p in params:
        if is_tensor(p):
            operands.append(p)
        else:
            d = dtypes.int64 if isinstance(p, int) else dtypes.float64
            operands.append(Scalar(scalar_type(d), p))
    return emit(draw_row, operands, (kind, tuple(size), dtype, p_dtype))


# Constructors --------------------------------------------------------------------------------------------------------------
def _float_dtype(dtype: Any, name: str) -> Any:
    dtype = dtype or dtypes.get_default_dtype()
    if dtype.category < dtypes.FLOAT:
        raise RuntimeError(f'"{name}" not implemented for \'{dtype.scalar_name}\'' if name != "check_uniform_bounds" else
                           f'"check_uniform_bounds" not implemented for \'{dtype.scalar_name}\'')
    return dtype


@api("rand(int[] size, *, Generator? generator=None, ScalarType? dtype=None) -> Tensor", method=False)
def rand(*size: Any, generator: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
         pin_memory: bool = False, names: Any = None) -> Any:
    """Uniform numbers from [0, 1)."""
    dtype = _float_dtype(dtype, "check_uniform_bounds")
    if dtype.is_complex:
        n = sizes(size)
        pair = draw("uniform", (*n, 2), dtype.to_real(), 0.0, 1.0, generator=generator)
        from .complex_views import view_as_complex

        return finish_constructor(view_as_complex(pair), device, requires_grad)
    return finish_constructor(draw("uniform", sizes(size, name="rand"), dtype, 0.0, 1.0, generator=generator), device, requires_grad)


def _normal(size: Any, dtype: Any, mean: float, std: float, generator: Any) -> Any:
    if dtype.is_complex:
        from .complex_views import view_as_complex

        pair = draw("normal", (*size, 2), dtype.to_real(), 0.0, 1.0, generator=generator)
        return view_as_complex(pair * (std / math.sqrt(2.0))) + mean
    return draw("normal", size, dtype, float(mean), float(std), generator=generator)


@api("randn(int[] size, *, Generator? generator=None, ScalarType? dtype=None) -> Tensor", method=False)
def randn(*size: Any, generator: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
          pin_memory: bool = False, names: Any = None) -> Any:
    """Standard normal numbers."""
    dtype = _float_dtype(dtype, "normal_kernel_cpu")
    return finish_constructor(_normal(sizes(size, name="randn"), dtype, 0.0, 1.0, generator), device, requires_grad)


@api("randint(int low=0, int high, int[] size, *, Generator? generator=None, ScalarType? dtype=None) -> Tensor", method=False)
def randint(*args: Any, low: Any = None, high: Any = None, size: Any = None, generator: Any = None, dtype: Any = None, layout: Any = None,
            device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Any:
    """Integers from [low, high)."""
    rest = list(args)
    if size is None:
        size = rest.pop()
    if high is None:
        high = rest.pop()
    if low is None:
        low = rest.pop() if rest else 0
    if not hasattr(size, "__iter__"):
        raise TypeError(f"randint(): argument 'size' must be tuple of ints, not {type(size).__name__}")
    low, high = int(low), int(high)
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    return finish_constructor(_ranged(sizes((size,)), dtype or dtypes.int64, low, high, generator), device, requires_grad)


def _ranged(size: Any, dtype: Any, low: int, high: Any, generator: Any) -> Any:
    kind, span, base = streams.random_range(dtype.lane, low, high)
    if kind in ("random_narrow", "random_wide"):
        return draw(kind, size, dtype, *_range_words(span, base), generator=generator)
    return draw(kind, size, dtype, generator=generator)


def _range_words(span: int, base: int) -> tuple[int, int]:
    return _signed(span), _signed(base)


def _signed(v: int) -> int:
    v &= (1 << 64) - 1
    return v - (1 << 64) if v >> 63 else v


@api("randperm(int n, *, Generator? generator=None, ScalarType dtype=int64) -> Tensor", method=False)
def randperm(n: int, *, generator: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
             pin_memory: bool = False) -> Any:
    """A random permutation of 0 .. n-1."""
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    kind = "randperm_wide" if n >= 214748364 else "randperm"
    dtype = dtype or dtypes.int64
    out = draw(kind, (n,), dtype if dtype.category == dtypes.INT else dtypes.int64, generator=generator)
    return finish_constructor(call.cast(out, dtype), device, requires_grad)


def _like(fn: Any, name: str) -> None:
    @api(f"{name}_like(Tensor input, *, ScalarType? dtype=None) -> Tensor", method=False)
    def like(input: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False, memory_format: Any = None,
             generator: Any = None) -> Any:
        t = full_of(input.shape, 0, dtype or input.dtype)
        t = t.contiguous() if dense_type(input._value.type).contiguous else t.as_strided(t.shape, dense_type(input._value.type).strides).clone()
        fn(t, generator)
        return finish_constructor(t, device, requires_grad)

    like.__doc__ = f"{name} with the shape, dtype and layout of `input`."


@api("randint_like(Tensor input, int low=0, int high, *, ScalarType? dtype=None) -> Tensor", method=False)
def randint_like(input: Any, low: Any, high: Any = None, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
                 memory_format: Any = None, generator: Any = None) -> Any:
    """randint with the shape and dtype of `input`."""
    low, high = (0, low) if high is None else (low, high)
    return finish_constructor(_ranged(tuple(input.shape), dtype or input.dtype, int(low), int(high), generator), device, requires_grad)


# In place ---------------------------------------------------------------------------------------------------------------------
def fill(t: Any, kind: str, *params: Any, generator: Any = None) -> Any:
    """Overwrite `t` with draws made in the order of its memory, as torch's iterator goes."""
    call.check_writable(t, kind)
    ty = t._value.type
    if not ty.numel:
        t._count_write()
        return t
    if ty.dense:
        if kind == "normal" and not ty.contiguous:
            kind = "normal_pairs"
        flat = draw(kind, (ty.numel,), ty.dtype, *params, generator=generator)
        drawn = emit(as_strided_row, (flat,), (ty.shape, dense_type(ty).strides, 0))
        if ty.contiguous and ty.strides == tensor_type(ty.dtype, ty.shape).strides:
            drawn = draw_shape(flat, ty)
    else:
        if kind == "normal":
            kind = "normal_pairs"
        order = fastest_first(ty.shape, [ty.strides])[::-1]
        flat = draw(kind, tuple(ty.shape[d] for d in order), ty.dtype, *params, generator=generator)
        back = sorted(range(len(order)), key=order.__getitem__)
        drawn = flat.permute(back) if order != list(range(len(order))) else flat
    t._write(drawn)
    return t


def draw_shape(flat: Any, ty: Any) -> Any:
    from .movement import view_row

    return emit(view_row, (flat,), (ty.shape,))


def _check_float(t: Any, name: str) -> None:
    if t.dtype.category < dtypes.FLOAT:
        raise NotImplementedError(f'"{name}" not implemented for \'{t.dtype.scalar_name}\'')


def uniform_(self: Any, from_: float = 0.0, to: float = 1.0, *, generator: Any = None, **kw: Any) -> Any:
    """Fill with uniform numbers from [from, to)."""
    from_ = kw.get("from", kw.get("a", from_))
    _check_float(self, "check_uniform_bounds")
    if from_ > to:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={from_:g} > to={to:g}")
    return fill(self, "uniform", float(from_), float(to), generator=generator)


def normal_(self: Any, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Any:
    """Fill with normal numbers."""
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    _check_float(self, "normal_kernel_cpu")
    if self.dtype.is_complex:
        self._write(_normal(tuple(self.shape), self.dtype, mean, std, generator))
        return self
    return fill(self, "normal", float(mean), float(std), generator=generator)


def exponential_(self: Any, lambd: float = 1.0, *, generator: Any = None) -> Any:
    """Fill with exponential numbers of rate `lambd`."""
    if lambd <= 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd:g}")
    if self.dtype.category < dtypes.FLOAT:
        raise RuntimeError(f"Exponential distribution is a continuous probability distribution. dtype must be a floating point but you specified "
                           f"{self.dtype.scalar_name}")
    return fill(self, "exponential", float(lambd), generator=generator)


def geometric_(self: Any, p: float, *, generator: Any = None) -> Any:
    """Fill with geometric numbers."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    return fill(self, "geometric", float(p), generator=generator)


def cauchy_(self: Any, median: float = 0.0, sigma: float = 1.0, *, generator: Any = None) -> Any:
    """Fill with Cauchy numbers."""
    if sigma <= 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
    if self.dtype.category < dtypes.FLOAT:
        raise RuntimeError(f"Cauchy distribution is a continuous probability distribution. dtype must be a floating point but you specified "
                           f"{self.dtype.scalar_name}")
    return fill(self, "cauchy", float(median), float(sigma), generator=generator)


def log_normal_(self: Any, mean: float = 1.0, std: float = 2.0, *, generator: Any = None) -> Any:
    """Fill with log-normal numbers."""
    if std <= 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std:g}")
    return fill(self, "log_normal", float(mean), float(std), generator=generator)


def bernoulli_(self: Any, p: Any = 0.5, *, generator: Any = None) -> Any:
    """Fill with zeros and ones; `p` is the chance of a one (a number or a tensor)."""
    if is_tensor(p):
        pt = p.expand(self.shape).contiguous()
        if pt.dtype.category < dtypes.FLOAT:
            raise RuntimeError(f"expected probabilities tensor to have floating type, got {pt.dtype.scalar_name}")
        call.check_writable(self, "bernoulli_")
        self._write(draw("bernoulli_tensor", tuple(self.shape), self.dtype, pt, generator=generator, p_dtype=pt.dtype.lane))
        return self
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")
    return fill(self, "bernoulli", float(p), generator=generator)


def random_(self: Any, from_: Any = None, to: Any = None, *, generator: Any = None, **kw: Any) -> Any:
    """Fill with integers from [from, to) (0 up to the dtype's range when not given)."""
    from_ = kw.get("from", from_)
    if from_ is not None and to is None and "from" not in kw:
        from_, to = 0, from_
    if from_ is None:
        return fill(self, "random", generator=generator)
    kind, span, base = streams.random_range(self.dtype.lane, int(from_), None if to is None else int(to))
    if kind in ("random_narrow", "random_wide"):
        return fill(self, kind, *_range_words(span, base), generator=generator)
    return fill(self, kind, generator=generator)


METHODS = {f.__name__: f for f in (uniform_, normal_, exponential_, geometric_, cauchy_, log_normal_, bernoulli_, random_)}

_like(lambda t, g: uniform_(t, generator=g), "rand")
_like(lambda t, g: normal_(t, generator=g), "randn")


# Draws from parameters ---------------------------------------------------------------------------------------------------------
@api("bernoulli(Tensor input, *, Generator? generator=None) -> Tensor")
def bernoulli(input: Any, p: Any = None, *, generator: Any = None) -> Any:
    """Ones with the probabilities in `input`."""
    if p is not None:
        return bernoulli_(input.clone(), p, generator=generator)
    if input.dtype.category < dtypes.FLOAT:
        raise NotImplementedError(f'"bernoulli_tensor_cpu_p_" not implemented for \'{input.dtype.scalar_name}\'')
    pt = input.detach().contiguous()
    return draw("bernoulli_tensor", tuple(input.shape), input.dtype, pt, generator=generator, p_dtype=input.dtype.lane)


@api("normal(Tensor mean, Tensor std, *, Generator? generator=None) -> Tensor", method=False)
def normal(mean: Any, std: Any = 1.0, size: Any = None, *, generator: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
           requires_grad: bool = False, pin_memory: bool = False) -> Any:
    """Normal numbers with the given means and standard deviations (numbers or tensors)."""
    if size is not None:
        return finish_constructor(_normal(sizes((size,)), dtype or dtypes.get_default_dtype(), mean, std, generator), device, requires_grad)
    if is_tensor(mean) and is_tensor(std):
        from .types import broadcast_shapes

        shape = broadcast_shapes([tuple(mean.shape), tuple(std.shape)])
        return _normal(shape, mean.dtype, 0.0, 1.0, generator) * std + mean
    if is_tensor(mean):
        if std < 0:
            raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
        return _normal(tuple(mean.shape), mean.dtype, 0.0, float(std), generator) + mean
    return _normal(tuple(std.shape), std.dtype, 0.0, 1.0, generator) * std + mean


@api("poisson(Tensor input, *, Generator? generator=None) -> Tensor", method=False)
def poisson(input: Any, generator: Any = None) -> Any:
    """Poisson counts with the rates in `input`."""
    rate = input.detach().contiguous()
    return draw("poisson", tuple(input.shape), input.dtype, rate, generator=generator, p_dtype=input.dtype.lane)


@api("multinomial(Tensor input, int num_samples, bool replacement=False, *, Generator? generator=None) -> Tensor")
def multinomial(input: Any, num_samples: int, replacement: bool = False, *, generator: Any = None) -> Any:
    """Indices drawn with the weights in each row."""
    if input.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if input.dtype.category < dtypes.FLOAT:
        raise RuntimeError("multinomial only supports floating-point dtypes for input, got: " + input.dtype.scalar_name)
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    n = input.shape[-1]
    if not replacement and num_samples > n:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    x = input.detach().contiguous()
    if not bool(((x >= 0) & (x < math.inf)).all()):
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if not bool((x.sum(-1) > 0).all()):
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    if not replacement or num_samples == 1:
        q = exponential_(full_of(x.shape, 0, x.dtype), 1.0, generator=generator)
        ratio = x / q
        if num_samples == 1:
            return ratio.argmax(-1, keepdim=True)
        return ratio.topk(num_samples, -1)[1]
    from .movement import cat
    from .sort import searchsorted

    wide = x if x.dtype is dtypes.float64 else x.float()
    sums = wide.cumsum(-1)
    sums = sums / sums[..., -1:]
    sums = cat([sums[..., :-1], full_of((*x.shape[:-1], 1), 1, sums.dtype)], -1)
    u = draw("uniform", (*x.shape[:-1], num_samples), dtypes.float64, 0.0, 1.0, generator=generator)
    return searchsorted(sums.double(), u)


# Dropout ------------------------------------------------------------------------------------------------------------------------
def _check_p(p: float) -> None:
    if not 0 <= p <= 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {p:g}")


def dropout_mask(input: Any, shape: Any, p: float) -> Any:
    noise = full_of(shape, 0, input.dtype)
    if tuple(shape) == tuple(input.shape) and not dense_type(input._value.type).contiguous:
        noise = noise.as_strided(tuple(shape), dense_type(input._value.type).strides).clone()
    return fill(noise, "bernoulli", 1.0 - p)


@composite("dropout(Tensor input, float p, bool train) -> Tensor", method=False, inplace=True, opmath=False)
def dropout(input: Any, p: float, train: bool) -> Any:
    """Zero elements with chance `p` and scale the rest by 1 / (1 - p), while training."""
    _check_p(p)
    if not train or p == 0 or input.numel() == 0:
        return input
    if p == 1:
        return input * 0
    return input * (dropout_mask(input, tuple(input.shape), p) / (1.0 - p))


dropout.row.grad_name = "MulBackward0"


@composite("feature_dropout(Tensor input, float p, bool train) -> Tensor", method=False, inplace=True, opmath=False)
def feature_dropout(input: Any, p: float, train: bool) -> Any:
    """dropout of whole channels."""
    _check_p(p)
    if not train or p == 0 or input.numel() == 0:
        return input
    if p == 1:
        return input * 0
    return input * (dropout_mask(input, _feature_shape(input), p) / (1.0 - p))


feature_dropout.row.grad_name = "MulBackward0"


def _feature_shape(input: Any) -> tuple[int, ...]:
    if input.ndim < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    return (*input.shape[:2], *(1 for _ in input.shape[2:]))


ALPHA = 1.7580993408473766


def _alpha(input: Any, p: float, train: bool, shape: Any) -> Any:
    _check_p(p)
    if not train or p == 0 or input.numel() == 0:
        return input
    if p == 1:
        return input * 0
    noise = dropout_mask(input, shape, p)
    a = 1.0 / math.sqrt((ALPHA * ALPHA * p + 1) * (1 - p))
    b = (noise - 1) * (ALPHA * a) + ALPHA * a * p
    return input * (noise * a) + b


@composite("alpha_dropout(Tensor input, float p, bool train) -> Tensor", method=False, inplace=True, opmath=False)
def alpha_dropout(input: Any, p: float, train: bool) -> Any:
    """dropout that keeps mean and variance for SELU."""
    return _alpha(input, p, train, tuple(input.shape))


@composite("feature_alpha_dropout(Tensor input, float p, bool train) -> Tensor", method=False, inplace=True, opmath=False)
def feature_alpha_dropout(input: Any, p: float, train: bool) -> Any:
    """alpha_dropout of whole channels."""
    return _alpha(input, p, train, _feature_shape(input))


alpha_dropout.row.grad_name = feature_alpha_dropout.row.grad_name = "AddBackward0"


# Seeding --------------------------------------------------------------------------------------------------------------------------
def manual_seed(seed: Any) -> Generator:
    """Seed the default generator."""
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Seed the default generator from the system's entropy."""
    return default_generator.seed()


def initial_seed() -> int:
    """The default generator's seed."""
    return default_generator.initial_seed()


def get_rng_state() -> Any:
    """The default generator's state as a uint8 tensor."""
    return default_generator.get_state()


def set_rng_state(new_state: Any) -> None:
    """Set the default generator's state."""
    default_generator.set_state(new_state)
