"""Random programs under torch and under every mode: no difference; and a tester that finds, shrinks and survives planted faults."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

pytest.importorskip("torch")

from frankentorch.conformance.fuzz import campaign as campaigns
from frankentorch.conformance.fuzz import compare, generate, program, run, shrink, verdict

PROGRAMS, FIRST = 60, 70_000


def test_random_programs_agree_with_torch_and_between_modes() -> None:
    report = campaigns.campaign(FIRST, PROGRAMS, modes=("deferred", "eager", "cut:1", "compile", "interp"), seconds=45, shrink_seconds=10)
    assert report.programs >= 5
    said = "\n\n".join(f"seed {seed}: {finding}\n{p}" for seed, p, finding in report.hard())
    assert not report.hard(), said


def test_a_seed_gives_one_program() -> None:
    assert generate.generate(FIRST + 1) == generate.generate(FIRST + 1)
    assert generate.generate(FIRST + 1) != generate.generate(FIRST + 2)


def test_programs_cover_the_grammar() -> None:
    """Every rule is used, and most statements are valid."""
    used, raised, total = set(), 0, 0
    for seed in range(FIRST, FIRST + 150):
        p = generate.generate(seed)
        used |= {s.rule for s in p.statements}
        if seed < FIRST + 30:
            raised += sum(e.kind == "raise" for e in run.run(p, "torch").entries)
            total += len(p.statements)
    assert used == {name for _, name, _ in generate.RULES}
    assert raised < 0.25 * total


def planted(name: str, wrong: object) -> Iterator[None]:
    """A method of Tensor replaced by a wrong one."""
    import frankentorch

    right = getattr(frankentorch.Tensor, name)
    setattr(frankentorch.Tensor, name, wrong)
    try:
        yield
    finally:
        setattr(frankentorch.Tensor, name, right)


LINES = ("t1 = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float32, requires_grad=True)", "t2 = torch.zeros((2, 3), dtype=torch.float32)",
         "t3 = t1 * 2", "t4 = t2[0]", "t5 = t3.tanh()", "t2[1] = t5", "t6 = torch.ones((2,), dtype=torch.float32)", "t2.sum().backward()", "t6.add_(1)")
PROGRAM = program.Program(tuple(program.Statement(line, "test") for line in LINES), 0)
MODES = ("interp",)


@pytest.mark.parametrize("name", ["tanh", "add_", "backward"])
def test_a_planted_fault_is_found_and_shrunk(name: str) -> None:
    import frankentorch

    right = getattr(frankentorch.Tensor, name)
    wrong = {"tanh": lambda t: right(t * 1.01), "add_": lambda t, v: t, "backward": lambda t: right(t * 2)}[name]
    assert verdict.judge(PROGRAM, MODES) is None
    for _ in planted(name, wrong):
        found = verdict.judge(PROGRAM, MODES)
        assert found is not None
        assert found.difference.grade == "hard"
        small, again = shrink.shrink(PROGRAM, found, 10)
        assert again.key == found.key
    assert verdict.judge(small, MODES) is None
    assert any(name in s.code for s in small.statements)
    assert len(small.statements) < len(PROGRAM.statements) - 2


def test_a_fault_of_one_mode_is_found_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    def one_bit_off(t: object) -> run.Array:
        from frankentorch.knobs import knobs

        a = right(t)
        if knobs.eager and a.dtype == "float32":
            return run.Array(a.dtype, a.shape, np.nextafter(a.array(), np.float32(9), dtype=np.float32).tobytes())
        return a

    right = run.our_array
    monkeypatch.setattr(run, "our_array", one_bit_off)
    found = verdict.judge(PROGRAM, ("interp", "interp+eager"))
    assert found is not None
    assert found.mode == "interp+eager"


def test_exceptions_and_what_they_leave_are_compared() -> None:
    bad = program.Program((program.Statement("t1 = torch.ones((2, 3), dtype=torch.float32)", "test"), program.Statement("t1.add_(torch.ones(5))", "test")), 0)
    want = run.run(bad, "torch")
    assert want.entries[0].kind == "raise"
    assert compare.compare(want, run.run(bad, "interp"), bad) is None or compare.compare(want, run.run(bad, "interp"), bad).grade == "soft"  # type: ignore[union-attr]
    silent = run.Log([e for e in want.entries if e.kind != "raise"])
    found = compare.compare(want, silent, bad)
    assert found is not None
    assert found.field == "raises"


def test_rounding_that_a_program_magnifies_is_not_a_difference() -> None:
    lines = ("t1 = torch.tensor([0.5, 0.5, 0.5, 0.5], dtype=torch.float32)", "t2 = t1 > 0.5")
    shaky = program.Program(tuple(program.Statement(line, "make") for line in lines), 0)
    assert verdict.unsteady(shaky, run.run(shaky, "torch"))
    firm = program.Program((program.Statement(lines[0], "make"), program.Statement("t2 = t1 > 0.25", "test")), 0)
    assert not verdict.unsteady(firm, run.run(firm, "torch"))


@pytest.mark.parametrize("library", ["torch", "frankentorch"])
def test_the_rendered_script_runs_under_either_library(library: str) -> None:
    done = subprocess.run([sys.executable, "-c", program.render(PROGRAM), library], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "t2: torch.float32 (2, 3) strides (3, 1) offset 0 requires_grad True leaf False version 1" in done.stdout
    assert "Error" not in done.stdout
