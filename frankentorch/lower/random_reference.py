"""What random draws mean, slowly: the stream in Python and numpy, exact to the bit.

Enters: torch state bytes. Leaves: `ReferenceStream`, which draws numpy arrays by kind and dtype (halves as uint16 patterns, bool as uint8)
and gives its state back as bytes. Where a kernel and this disagree, the kernel is wrong.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from frankentorch.lower import random_binomial as binomial
from frankentorch.lower import random_engine as engine
from frankentorch.lower import random_math as rm
from frankentorch.lower.lanes import Lane, NumpyLanes
from frankentorch.lower.random_draws import DRAWS
from frankentorch.lower.random_gamma import SQUEEZE, THIRD
from frankentorch.lower.random_philox import COUNTERS, unit_params, unit_samples

_LAYOUT = struct.Struct(f"<Qii Q {engine.N}Q 3d i4x f?3x")
_L = NumpyLanes()


def _array(value: Lane, dtype: str) -> Any:
    return np.atleast_1d(_L.convert(_L.convert(value, dtype), "u8" if dtype == "i1" else dtype).v)


def _params(values: Sequence[float | int]) -> list[Lane]:
    """Parameters as lanes: ints are i64, floats f64."""
    return [_L.wrap("i64", np.array(v).astype(np.uint64).view(np.int64) if v >= 0 else np.array(v)) if isinstance(v, int)
            else _L.wrap("f64", np.array(v)) for v in values]


class ReferenceStream:
    """An MT19937 stream that draws one call at a time, as torch would."""

    def __init__(self, state: bytes) -> None:
        fields = _LAYOUT.unpack(state)
        self._seed, self._left, _, self._next = fields[:4]
        self._words = np.array(fields[4:4 + engine.N], np.uint32)
        _, normal, _, valid, self._float, self._float_valid = fields[4 + engine.N:]
        self._normal: float | None = normal if valid else None

    def state(self) -> bytes:
        return _LAYOUT.pack(self._seed, self._left, 1, self._next, *map(int, self._words), 0.0, self._normal or 0.0, 0.0,
                            self._normal is not None, self._float, self._float_valid)

    # Words ----------------------------------------------------------------------------------------------------
    def _regenerate(self) -> None:
        w, n, m = self._words, engine.N, engine.M
        # The recurrence reaches 227 words ahead, so three sweeps see only finished words.
        for lo, hi in ((0, n - m), (n - m, 2 * (n - m)), (2 * (n - m), n)):
            i = np.arange(lo, hi)
            lanes = (_L.wrap("u32", w[j]) for j in (i, (i + 1) % n, (i + m) % n))
            w[lo:hi] = engine.twisted(_L, *lanes).v
        self._left, self._next = n + 1, 0

    def words(self, n: int) -> Any:
        """The next `n` tempered words, as uint32."""
        out: list[Any] = [np.zeros(0, np.uint32)]
        while n > 0:
            if self._left == 1:
                self._regenerate()
            take = min(n, self._left - 1)
            out.append(engine.temper(_L, _L.wrap("u32", self._words[self._next:self._next + take])).v)
            self._next, self._left, n = self._next + take, self._left - take, n - take
        return np.concatenate(out)

    def _lanes(self, n: int, stride: int) -> list[Lane]:
        words = self.words(n * stride)
        return [_L.wrap("u32", words[k::stride]) for k in range(stride)]

    def uniform64(self, n: int) -> Any:
        return rm.uniform_f64(_L, *self._lanes(n, 2)).v

    # Draws ----------------------------------------------------------------------------------------------------
    def draw(self, kind: str, dtype: str, n: int, *params: Any, p_dtype: str = "") -> Any:
        """`n` samples. Parameters come in the order of the kernel's argument words: numbers, or arrays where those are pointers."""
        special: dict[str, Callable[..., Any]] = {
            "normal": self._normals, "normal_pairs": self._normal_pairs, "log_normal": self._log_normals,
            "randperm": self._randperm, "poisson": self._poisson,
            "multinomial": self._multinomial, "gamma": self._gamma, "binomial": self._binomial,
        }
        if kind in special:
            return special[kind](dtype, n, *params)
        row = DRAWS[kind]
        stride = row.words(dtype, p_dtype)
        if row.params and row.params[0][1] == "ptr":
            values: Sequence[Lane] = [_L.wrap(p_dtype, a) for a in params]
        else:
            values = row.setup(_L, dtype, _params(params))
        return _array(row.sample(_L, dtype, self._lanes(n, stride), values), dtype)

    def _pairs(self, n: int, mean: float, std: float) -> Lane:
        raw = [] if self._normal is None or n == 0 else [self._normal]
        if n:
            self._normal = None
        while len(raw) < n:
            w = self._lanes(1, 4)
            pair = rm.box_muller_f64(_L, rm.uniform_f64(_L, w[2], w[3]), rm.uniform_f64(_L, w[0], w[1]))
            raw += [float(z.v[0]) for z in pair]
        if len(raw) > n:
            self._normal = raw.pop()
        scaled: Lane = _L.fma(_L.wrap("f64", np.array(raw, np.float64)), std, mean)
        return scaled

    def _blocks(self, dtype: str, n: int, mean: float, std: float) -> Any:
        double = dtype == "f64"
        uniform = rm.uniform_f64(_L, *self._lanes(n, 2)) if double else rm.uniform_f32(_L, *self._lanes(n, 1))
        blocks = uniform.v.reshape(-1, 16)
        u, v = (_L.wrap(uniform.ty, half) for half in (blocks[:, :8], blocks[:, 8:]))
        c, s = (rm.box_muller_f64 if double else rm.box_muller_f32)(_L, u, v)
        raw = _L.wrap(uniform.ty, np.concatenate([c.v, s.v], axis=1).ravel())
        return _array(_L.fma(raw, std, mean), dtype)

    def _normals(self, dtype: str, n: int, mean: float, std: float) -> Any:
        if n < 16:
            return self._normal_pairs(dtype, n, mean, std)
        ragged = n % 16
        out = self._blocks(dtype, n - ragged, mean, std)
        if ragged:
            self.words(ragged * {"f32": 1, "f64": 2}.get(dtype, 0))
            out = np.concatenate([out[:n - 16], self._blocks(dtype, 16, mean, std)])
        return out

    def _normal_pairs(self, dtype: str, n: int, mean: float, std: float) -> Any:
        return _array(self._pairs(n, mean, std), dtype)

    def _log_normals(self, dtype: str, n: int, mean: float, std: float) -> Any:
        return _array(rm.exp_f64(_L, self._pairs(n, mean, std)), dtype)

    def _randperm(self, dtype: str, n: int) -> Any:
        order = list(range(n))
        for i, word in enumerate(self.words(max(n - 1, 0))):
            j = i + int(word) % (n - i)
            order[i], order[j] = order[j], order[i]
        return _array(_L.wrap("i64", np.array(order, np.int64)), dtype)

    def _poisson(self, dtype: str, n: int, rates: Any) -> Any:
        counts = [self._poisson_one(float(r)) for r in np.asarray(rates, np.float64)]
        return _array(_L.wrap("i64", np.array(counts, np.int64)), dtype)

    def _poisson_one(self, rate: float) -> int:
        if rate == 0:
            return 0
        if rate < 10:
            count, product, stop = 0, float(self.uniform64(1)[0]), math.exp(-rate)
            while product > stop:
                count, product = count + 1, product * float(self.uniform64(1)[0])
            return count
        b = 0.931 + 2.53 * math.sqrt(rate)
        a = -0.059 + 0.02483 * b
        while True:
            u, v = (float(x) for x in self.uniform64(2))
            u -= 0.5
            us = 0.5 - abs(u)
            k = math.floor((2 * a / us + b) * u + rate + 0.43) if us else -1
            if us >= 0.07 and v <= 0.9277 - 3.6224 / (b - 2):
                return k
            if k < 0 or (us < 0.013 and v > us):
                continue
            left = (math.log(v) if v else -math.inf) + math.log(1.1239 + 1.1328 / (b - 3.4)) - math.log(a / (us * us) + b)
            if left <= -rate + k * math.log(rate) - math.lgamma(k + 1):
                return k

    def _gamma(self, dtype: str, n: int, alpha: Any) -> Any:
        one = np.float32 if dtype == "f32" else np.float64
        out = np.array([self._gamma_one(one(a), one) for a in alpha], np.float64).astype(one)
        return np.maximum(out, np.finfo(one).tiny)

    def _gamma_one(self, alpha: Any, one: type) -> float:
        if alpha == 0:
            return 0.0
        scale = 1.0
        if alpha < 1:
            scale = float(1.0 - self.uniform64(1)[0]) ** float(one(1) / alpha)
            alpha = one(alpha + one(1))
        d = float(one(alpha - one(THIRD)))
        c = 1 / math.sqrt(9 * d)
        while True:
            x = float(self._pairs(1, 0.0, 1.0).v[0])
            y = 1 + c * x
            if y <= 0:
                continue
            v, u, xx = y * y * y, 1 - float(self.uniform64(1)[0]), x * x
            if u < 1 - SQUEEZE * xx * xx or math.log(u) < 0.5 * xx + d * (1 - v + math.log(v)):
                return scale * d * v

    def _binomial(self, dtype: str, n: int, counts: Any, chances: Any) -> Any:
        drawn = [self._binomial_any(dtype, float(c), float(p)) for c, p in zip(counts, chances, strict=True)]
        return _array(_L.wrap("f64", np.array(drawn, np.float64)), dtype)

    def _binomial_any(self, dtype: str, count: float, p: float) -> float:
        if count <= 0 or p <= 0:
            return 0.0
        if p >= 1 or math.isnan(p):
            return count if p >= 1 else math.nan
        c = _L.wrap("f64", np.array(count))
        if p > 0.5:
            return count - self._binomial_one(dtype, c, _L.round_to(_L.wrap("f64", np.array(1.0 - p)), dtype))
        return self._binomial_one(dtype, c, _L.wrap("f64", np.array(p)))

    def _binomial_one(self, dtype: str, count: Lane, p: Lane) -> float:
        if binomial.few_mean(_L, dtype, count, p).v:
            log_miss, total, found = binomial.log_of_miss(_L, dtype, p), 0.0, -1.0
            while total <= count.v:
                total += float(binomial.gap(_L, _L.wrap("f64", self.uniform64(1)[0]), log_miss).v)
                found += 1
            return found
        constants = binomial.Rejection.of(_L, dtype, count, p)
        while True:
            u, v = (_L.wrap("f64", x) for x in self.uniform64(2))
            us, k = constants.candidate(_L, u - 0.5)
            inside = 0 <= k.v <= count.v
            if inside and ((us.v >= 0.07 and v.v <= constants.accept.v) or constants.accepts(_L, us, v, k).v):
                return float(k.v)

    def _multinomial(self, dtype: str, n: int, weights: Any) -> Any:
        """`weights` has one row a distribution, in f32 or f64."""
        rows = []
        for row in weights:
            sums = np.add.accumulate(row)
            sums = sums / sums[-1]
            sums[-1] = 1
            rows.append(np.searchsorted(sums.astype(np.float64), self.uniform64(n), side="left"))
        return np.array(rows, np.int64)


def philox_draw(kind: str, dtype: str, n: int, key: int, counter: int, first: float, second: float) -> Any:
    """`n` elements of the counter-based stream; `kind` is uniform or normal."""
    units = -(-n // (COUNTERS * (2 if dtype == "f64" else 4)))
    counters = (np.arange(units * COUNTERS, dtype=np.uint64) + np.uint64(counter)).reshape(units, COUNTERS)
    pair = (_L.wrap("u32", counters & np.uint64(0xFFFFFFFF)), _L.wrap("u32", counters >> np.uint64(32)))
    keys = (_L.const("u32", key & 0xFFFFFFFF), _L.const("u32", key >> 32))
    params = unit_params(_L, kind, dtype, _params([float(first), float(second)]))
    samples = [_array(s, dtype) for s in unit_samples(_L, kind, dtype, pair, keys, params)]
    return np.stack(samples, axis=1).reshape(-1)[:n]
