"""The loops dialect: its FileCheck files, and that what is printed parses and gives the same text again."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from filecheck.finput import FInput
from filecheck.matcher import Matcher
from filecheck.options import Options
from filecheck.parser import Parser as CheckParser
from filecheck.parser import pattern_for_opts
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.parser import Parser
from xdsl.utils.exceptions import VerifyException

from frankentorch.lower.loops import Loops
from frankentorch.lower.nest import build_loops, translate
from tests.nest_helper import LANE_OF, Graph
from tests.test_nest import rand
from tests.test_nest_reduce import normalised, softmax

FILES = sorted((Path(__file__).parent / "filecheck" / "loops").glob("*.mlir"))


def parse(text: str) -> ModuleOp:
    context = Context()
    context.load_dialect(Builtin)
    context.load_dialect(Loops)
    return Parser(context, text).parse_module()


def output(text: str) -> str:
    """What the file's RUN line asks for."""
    run, module = text.splitlines()[0], parse(text)
    if "--verify-diagnostics" in run:
        with pytest.raises(VerifyException) as caught:
            module.verify()
        return str(caught.value)
    module.verify()
    return translate(module, LANE_OF) if "loops-to-llvm" in run else str(module)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_filecheck(path: Path) -> None:
    text = path.read_text()
    options = Options(match_filename=str(path))
    checks = CheckParser(options, io.StringIO(text), *pattern_for_opts(options))
    matcher = Matcher(options, FInput(path.name, output(text)), checks)
    assert matcher.run() == 0


def graphs() -> dict[str, Any]:
    def pointwise() -> Any:
        g = Graph((5, 37))
        x = g.step("exp", g.input(rand((37, 5), "bf16").T, "bf16"), dtype="bf16")
        y = g.step("scale", x, dtype="f32", by=0.1)
        return g.spec((g.step("where", g.step("lt", x, y, dtype="i1"), y, g.step("iota", dtype="f32", dim=1), dtype="f32"), None))

    def rows(dims: tuple[int, ...]) -> Any:
        g = Graph((6, 50, 49))
        x = g.input(rand((6, 50, 49)), "f32")
        return g.spec((softmax(g, x, dims), None), (g.step("argmax", x, dtype="i64", dims=dims), None))

    def long() -> Any:
        g = Graph((5000, 30))
        return g.spec(*((v, None) for v in normalised(g, g.input(rand((5000, 30)), "f32"), (0,))))
    return {"pointwise": pointwise, "rows": lambda: rows((2,)),
            "segments": lambda: rows((0, 2)), "columns": lambda: rows((1,)), "long": long}


@pytest.mark.parametrize("name", ["pointwise", "rows", "segments", "columns", "long"])
@pytest.mark.parametrize("tier", ["avx512", "avx2"])
def test_printed_modules_parse_and_give_the_same_text(name: str, tier: str) -> None:
    for module, words in build_loops(graphs()[name](), LANE_OF, tier):
        module.verify()
        again = parse(str(module))
        again.verify()
        assert str(again) == str(module)
        assert translate(again, LANE_OF) == translate(module, LANE_OF)
        assert len(list(module.walk())) < 120, "a kernel stays a small module"
        assert words
