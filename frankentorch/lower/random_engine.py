"""The generators behind random draws: the memory block of an MT19937 state, and the LLVM functions that step it.

Enters: the address of a state block. Leaves: tempered 32-bit words in memory, and the block advanced.

The block is `STATE_WORDS` 64-bit words, aligned to 8 bytes:

====== =================================================================================================
word   meaning
====== =================================================================================================
0      the initial seed
1, 2   `left` and `next`, exactly as torch counts them: left - 1 words of the current 624 are unused, the first at `next`
3, 4   1 when a standard normal waits for the next call of the pairwise path, and that normal (the bits of an f64)
5, 6   the same for f32: carried in the state bytes, never used on a CPU
7      1 once seeded
8-327  624 state words of 32 bits, then 16 words that mirror the first 16 while a block is being made
====== =================================================================================================

The recurrence (Matsumoto & Nishimura, ACM TOMACS 8(1), 1998) runs in place, 16 words at a time: word i needs words i, i + 1 and
i + 397, modulo 624. 624 is 39 vectors; once vector 0 is written, its mirror after word 623 makes every wrap-around a plain load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frankentorch.lower.lanes import Lane, Lanes, LLVMLanes
    from frankentorch.lower.llvmtext import Function

# Generators need this module's layout at import, kernels only when one is compiled: hence the imports inside functions.
N, M = 624, 397
SEED, LEFT, NEXT, NORMAL_VALID, NORMAL, FLOAT_NORMAL_VALID, FLOAT_NORMAL, SEEDED, WORDS = range(9)
STATE_WORDS = WORDS + (N + 16) // 2
PHILOX_ROUNDS = 10
# random_(from, to) draws 64 bits an element for ranges from here on.
WIDE_RANGE = 1 << 28


def temper(L: Lanes, y: Lane) -> Lane:
    y = y ^ (y >> 11)
    y = y ^ ((y << 7) & 0x9D2C5680)
    y = y ^ ((y << 15) & 0xEFC60000)
    return y ^ (y >> 18)


def twisted(L: Lanes, word: Lane, following: Lane, middle: Lane) -> Lane:
    """The recurrence: the new word in the place of `word`."""
    joined = (word & 0x80000000) | (following & 0x7FFFFFFF)
    return middle ^ (joined >> 1) ^ ((L.zero(following) - (following & 1)) & 0x9908B0DF)


def field(f: Function, state: str, word: int) -> str:
    """The address of a 64-bit word of the block."""
    return f.op(f"getelementptr inbounds i64, ptr {state}, i64 {word}")


def load_u32(f: Function, L: LLVMLanes, base: str, index: str) -> Lane:
    at = f.op(f"getelementptr inbounds i32, ptr {base}, i64 {index}")
    return L.wrap("u32", f.op(f"load {L.type('u32')}, ptr {at}, align 4"))


def store_u32(f: Function, L: LLVMLanes, base: str, index: str, value: Lane) -> None:
    at = f.op(f"getelementptr inbounds i32, ptr {base}, i64 {index}")
    f.do(f"store {L.type('u32')} {value.v}, ptr {at}, align 4")


def _twist() -> Function:
    from frankentorch.lower.lanes import LLVMLanes
    from frankentorch.lower.llvmtext import Function

    f = Function("mt_twist", [("ptr", "state")], linkage="internal")
    L = LLVMLanes(f)
    words = field(f, "%state", WORDS)

    def step(i: str, middle: str) -> Lane:
        following = f.op(f"add nsw i64 {i}, 1")
        new = twisted(L, load_u32(f, L, words, i), load_u32(f, L, words, following), load_u32(f, L, words, middle))
        store_u32(f, L, words, i, new)
        return new

    store_u32(f, L, words, str(N), step("0", str(M)))
    with f.loop("16", "240", 16) as it:
        step(it.iv, f.op(f"add nsw i64 {it.iv}, {M}"))
    with f.loop("240", str(N), 16) as it:
        step(it.iv, f.op(f"add nsw i64 {it.iv}, {M - N}"))
    return f


def _fill() -> Function:
    """mt_fill(state, out, n): the next n words, tempered; up to 15 words after them are overwritten with garbage."""
    from frankentorch.lower.lanes import LLVMLanes
    from frankentorch.lower.llvmtext import Function

    f = Function("mt_fill", [("ptr", "state"), ("ptr", "out"), ("i64", "n")], linkage="internal")
    L = LLVMLanes(f)
    words, left_at, next_at = field(f, "%state", WORDS), field(f, "%state", LEFT), field(f, "%state", NEXT)
    left, start = f.op(f"load i64, ptr {left_at}, align 8"), f.op(f"load i64, ptr {next_at}, align 8")

    def copy(source: str, target: str, count: str) -> None:
        with f.loop("0", count, 16) as it:
            word = load_u32(f, L, words, f.op(f"add nsw i64 {it.iv}, {source}"))
            store_u32(f, L, "%out", f.op(f"add nsw i64 {it.iv}, {target}"), temper(L, word))

    def smaller(a: str, b: str) -> str:
        return f.call("llvm.smin.i64", "i64", [("i64", a), ("i64", b)])

    first = smaller("%n", f.op(f"sub nsw i64 {left}, 1"))
    copy(start, "0", first)
    f.do(f"store i64 {f.op(f'sub nsw i64 {left}, {first}')}, ptr {left_at}, align 8")
    f.do(f"store i64 {f.op(f'add nsw i64 {start}, {first}')}, ptr {next_at}, align 8")
    with f.loop(first, "%n", N) as it:
        f.do("call void @mt_twist(ptr %state)")
        count = smaller(str(N), f.op(f"sub nsw i64 %n, {it.iv}"))
        copy("0", it.iv, count)
        f.do(f"store i64 {f.op(f'sub nsw i64 {N + 1}, {count}')}, ptr {left_at}, align 8")
        f.do(f"store i64 {count}, ptr {next_at}, align 8")
    return f


def engine_text() -> tuple[list[str], dict[str, str]]:
    """The internal functions `mt_twist` and `mt_fill`, and what they declare."""
    functions = [_twist(), _fill()]
    return [f.finish() for f in functions], {k: v for f in functions for k, v in f.declares.items()}


def seed_words(seed: int) -> list[int]:
    """The 624 words of a fresh state: only the low 32 bits of `seed` count."""
    words = [seed & 0xFFFFFFFF]
    for i in range(1, N):
        before = words[-1]
        words.append((1812433253 * (before ^ (before >> 30)) + i) & 0xFFFFFFFF)
    return words


def philox(L: Lanes, counter: tuple[Lane, Lane], key: tuple[Lane, Lane]) -> tuple[Lane, Lane, Lane, Lane]:
    """Philox4x32-10 (Salmon et al., SC 2011): four words from a 64-bit counter (high half zero) and a 64-bit key."""
    c0, c1, c2, c3 = counter[0], counter[1], L.zero(counter[0]), L.zero(counter[0])
    k0, k1 = key
    for r in range(PHILOX_ROUNDS):
        if r:
            k0, k1 = k0 + 0x9E3779B9, k1 + 0xBB67AE85
        a, b = L.convert(c0, "u64") * 0xD2511F53, L.convert(c2, "u64") * 0xCD9E8D57
        c0, c1, c2, c3 = (L.convert(b >> 32, "u32") ^ c1 ^ k0, L.convert(b, "u32"),
                          L.convert(a >> 32, "u32") ^ c3 ^ k1, L.convert(a, "u32"))
    return c0, c1, c2, c3
