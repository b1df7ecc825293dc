"""What each element-by-element draw means: how many words it takes, and the lane function from words to a sample.

Enters: u32 lanes of generator words and the parameters. Leaves: a lane, converted to the output dtype by whoever asked.
The kernel templates (`random`) and the numpy reference (`random_reference`) both run these functions, so they agree to the last bit.

`DRAWS[kind]` is one row. A row's `params` are the argument words after (state, out, n): ``f64`` and ``i64`` are values,
``ptr`` is an array with one element a draw. `setup` is what depends on parameters alone, computed once a call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from frankentorch.lower import random_math as rm
from frankentorch.lower.lanes import Lane, Lanes

HALVES = ("f16", "bf16")
FLOATS = ("f32", "f64", *HALVES)
INTEGERS = ("u8", "i8", "i16", "i32", "i64")
WIDE_INTEGERS = ("u16", "u32", "u64")
DIGITS = {"f16": 11, "bf16": 8, "f32": 24, "f64": 53}

Values = Sequence[Lane]


def _unchanged(L: Lanes, dtype: str, params: Values) -> Values:
    return params


@dataclass(frozen=True, slots=True)
class Draw:
    """One kind of draw; `words(dtype, p_dtype)` is 1 or 2 words an element."""

    doc: str
    dtypes: tuple[str, ...]
    words: Callable[[str, str], int]
    sample: Callable[[Lanes, str, Values, Values], Lane]
    params: tuple[tuple[str, str], ...] = ()
    setup: Callable[[Lanes, str, Values], Values] = _unchanged


def _u64(L: Lanes, words: Values) -> Lane:
    return rm.uniform_f64(L, words[0], words[1])


def _two(dtype: str, p_dtype: str) -> int:
    return 2


def _uniform_bounds(L: Lanes, dtype: str, params: Values) -> Values:
    low, high = params if dtype == "f64" else [L.convert(p, "f32") for p in params]
    return low, high - low, high


def _uniform(L: Lanes, dtype: str, words: Values, params: Values) -> Lane:
    low, width, high = params
    if dtype == "f64":
        return L.fma(_u64(L, words), width, low)
    x = L.fma(rm.uniform_f32(L, words[0]), width, low)
    if dtype == "f32":
        return x
    # Rounding to half precision can reach the excluded bound: torch then gives the included one.
    x, low, high = (L.round_to(v, dtype) for v in (x, low, high))
    return L.select(L.cmp("ge", x, high), low, x)


def _bernoulli(L: Lanes, dtype: str, words: Values, params: Values) -> Lane:
    return L.cmp("lt", _u64(L, words), params[0])


def _bernoulli_tensor(L: Lanes, dtype: str, words: Values, params: Values) -> Lane:
    p = params[0]
    if p.ty == "f64":
        return L.cmp("lt", _u64(L, words), p)
    return L.cmp("lt", rm.uniform_f32(L, words[0]), L.convert(p, "f32"))


def _exponential(L: Lanes, dtype: str, words: Values, params: Values) -> Lane:
    # Adding +0 turns the -0 of log(1) into torch's +0.
    return params[0] * rm.log_pair(L, 1.0 - _u64(L, words))[0] + 0.0


def _geometric(L: Lanes, dtype: str, words: Values, params: Values) -> Lane:
    return L.ceil(rm.log_f64(L, _u64(L, words)) / params[0])


def _cauchy(L: Lanes, dtype: str, words: Values, params: Values) -> Lane:
    median, sigma = params
    return L.fma(rm.tan_f64(L, (_u64(L, words) - 0.5) * math.pi), sigma, median)


def _random_words(dtype: str, p_dtype: str) -> int:
    return 2 if dtype in ("i64", "f64") else 1


def _random(L: Lanes, dtype: str, words: Values, params: Values) -> Lane:
    word = words[0] if len(words) == 1 else rm.join64(L, words[0], words[1])
    if dtype == "i1":
        return L.cmp("ne", word & 1, 0)
    if dtype in DIGITS:
        return L.convert(L.urem(word, (1 << DIGITS[dtype]) + 1), "i64")
    return word & ((1 << (int(dtype[1:]) - (dtype[0] == "i"))) - 1)


def _random_full(L: Lanes, dtype: str, words: Values, params: Values) -> Lane:
    return L.bitcast(rm.join64(L, words[0], words[1]), "i64")


def _range_setup(L: Lanes, dtype: str, params: Values) -> Values:
    return L.to_float(L.convert(params[0], "i32"), "f64"), params[1]


def _random_narrow(L: Lanes, dtype: str, words: Values, params: Values) -> Lane:
    """word % range in doubles: the quotient of integers below 2**32 never rounds up to the next integer."""
    span, base = params
    value = rm.word_to_f64(L, words[0])
    rest = value - L.floor(value / span) * span
    return L.convert(L.to_int(rest, "i32"), "i64") + base


def _random_wide(L: Lanes, dtype: str, words: Values, params: Values) -> Lane:
    rest = L.urem(rm.join64(L, words[0], words[1]), L.bitcast(params[0], "u64"))
    return L.bitcast(rest, "i64") + params[1]


_RANGE = (("range", "i64"), ("base", "i64"))
_ANY = ("i1", *INTEGERS, *FLOATS)

DRAWS: dict[str, Draw] = {
    "uniform": Draw("from + u (to - from), in f32 (halves round it) or f64.", FLOATS,
                    lambda dtype, _: 2 if dtype == "f64" else 1, _uniform, (("from", "f64"), ("to", "f64")), _uniform_bounds),
    "bernoulli": Draw("u < p with an f64 uniform.", _ANY, _two, _bernoulli, (("p", "f64"),)),
    "bernoulli_tensor": Draw("u < p[i]; an f32 uniform unless p is f64.", _ANY,
                             lambda _, p_dtype: 2 if p_dtype == "f64" else 1, _bernoulli_tensor, (("p", "ptr"),)),
    "exponential": Draw("-log(1 - u) / lambda.", FLOATS, _two, _exponential, (("lambda", "f64"),),
                        lambda L, dtype, params: (-1.0 / params[0],)),
    "geometric": Draw("ceil(log u / log(1 - p)).", (*INTEGERS, *FLOATS), _two, _geometric, (("p", "f64"),),
                      lambda L, dtype, params: (rm.log1p_negated(L, params[0]),)),
    "cauchy": Draw("median + sigma tan(pi (u - 1/2)).", FLOATS, _two, _cauchy, (("median", "f64"), ("sigma", "f64"))),
    "random": Draw("every value of an integer dtype from 0 up; 0 to 2**digits of a float dtype.", _ANY, _random_words, _random),
    "random_full": Draw("all 64 bits, as i64.", ("i64", "f32", "f64", "bf16"), _two, _random_full),
    "random_narrow": Draw("base + word % range, for ranges below 2**28.", (*_ANY, *WIDE_INTEGERS), lambda *_: 1, _random_narrow,
                          _RANGE, _range_setup),
    "random_wide": Draw("base + 64-bit word % range, for ranges of 2**28 or more.", (*_ANY, *WIDE_INTEGERS), _two, _random_wide, _RANGE),
}
