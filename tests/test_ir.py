"""The `ft` dialect and its passes: FileCheck files, round trips, and that no pass changes a bit."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from filecheck.finput import FInput
from filecheck.matcher import Matcher
from filecheck.options import Options
from filecheck.parser import Parser as CheckParser
from filecheck.parser import pattern_for_opts

from frankentorch.cli.opt import main as opt

FILES = sorted((Path(__file__).parent / "filecheck" / "ft").glob("*.mlir"))


def run_line(path: Path) -> str:
    """What a file's RUN line prints, up to the pipe."""
    command = re.fullmatch(r"// RUN: ft opt (.*?) \| filecheck %s", path.read_text().splitlines()[0])
    assert command is not None
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        opt([word.replace("%s", str(path)) for word in shlex.split(command[1])])
    return out.getvalue()


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_filecheck(path: Path) -> None:
    options = Options(match_filename=str(path))
    checks = CheckParser(options, io.StringIO(path.read_text()), *pattern_for_opts(options))
    output: Any = run_line(path)
    assert Matcher(options, FInput(path.name, output), checks).run() == 0
