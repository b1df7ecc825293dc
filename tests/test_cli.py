"""The command line: dumps that read back to the runtime's own objects, scripts under torch's name, and the small commands."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from xdsl.context import Context

import frankentorch as torch
from frankentorch.cli import bits, dump, ops, watch
from frankentorch.cli.app import COMMANDS, app
from frankentorch.ir import build, memory_use, pipeline, verify
from frankentorch.ir.passes.fuse import Fuse
from frankentorch.ir.passes.lower_to_loops import LowerToLoops
from frankentorch.knobs import knobs
from frankentorch.runtime import program

ROOT = Path(__file__).parent.parent


def ft(*args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run([sys.executable, "-m", "frankentorch", *args], capture_output=True, text=True, timeout=200, cwd=ROOT,
                          env={**os.environ, **(env or {})}, check=False)


def here(*args: str) -> Result:
    """The command in this process, for those that change no setting."""
    return CliRunner().invoke(app, list(args))


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text("""
import sys
import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
loss = F.mse_loss(model(torch.randn(5, 3)), torch.zeros(5, 1))
loss.backward()
print(sys.argv[1:], torch.get_num_threads(), "%.9g" % loss.item())

def twice():
    return torch.arange(4.0) * 2

if sys.argv[1:] == ["fail"]:
    raise ValueError("as asked")
""")
    return path


# Dumps read back ------------------------------------------------------------------------------------------------------------
def example(name: str) -> Any:
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(ROOT / "examples"))


def run_mlp() -> None:
    example("mlp").train(3)


def run_cnn() -> None:
    cnn = example("digits_cnn")
    model, optimizer = cnn.setup()
    x, y = torch.randn(4, 1, 8, 8), torch.tensor([1, 7, 0, 7])
    for _ in range(3):
        cnn.train_step(model, optimizer, x, y).item()
    cnn.accuracy(model, x, y)


def run_gpt() -> None:
    gpt = example("char_gpt")
    torch.manual_seed(0)
    model, optimizer = gpt.setup(11, context=6, width=8, heads=2, depth=1)
    ids = torch.arange(60) % 11
    for _ in range(2):
        gpt.train_step(model, optimizer, *gpt.batch(ids, 6, 2)).item()
    gpt.write(model, "abcdefghijk", "ab", 2)


def continued(text: str, stage: str, as_recorded: bool = False) -> str:
    """The digest of the objects that a dumped stage leads to."""
    module = build.parse(text)
    module.verify()
    verify.program(module)
    if as_recorded and stage in ("ft", "grad"):
        Fuse().apply(Context(), module)
    if stage == "fused" or as_recorded and stage != "loops":
        LowerToLoops().apply(Context(), module)
    else:
        pipeline.run(module, start=stage)
    return pipeline.digest(module)


@pytest.mark.parametrize("run", [run_mlp, run_cnn, run_gpt], ids=["mlp", "digits_cnn", "char_gpt"])
def test_every_dumped_stage_leads_to_the_objects_that_run(run: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "PROGRAMS", {})
    torch.zeros(1).item()
    with watch.noted() as found:
        run()
    assert len(found) >= 3
    for seen in found:
        assert seen.plan is not None
        for stage in ("ft", "grad", "fused", "loops"):
            assert continued(dump.text_at(seen, stage), stage, seen.as_recorded()) == seen.digest(), stage
        keys = {e.key for e in seen.plan.entries}
        assert set(re.findall(r"object ([0-9a-f]{64})$", dump.text_at(seen, "llvm"), re.M)) == keys


def test_a_known_structure_at_another_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a program is planned as recorded; the dump says so and shows what runs, whether the plan is new or from disk."""
    monkeypatch.setattr(knobs, "cache_dir", str(tmp_path))
    for _ in range(2):
        monkeypatch.setattr(program, "PROGRAMS", {})
        monkeypatch.setattr(program, "_STRUCTURES", set())
        with watch.noted() as found:
            for n in (5, 6):
                x = torch.zeros(n, 3)
                (x.neg().neg() * 2).exp().sum().item()
        assert len(found) == 2
        assert [s.as_recorded() for s in found] == [False, True]
        for seen in found:
            for stage in ("ft", "fused", "loops"):
                assert continued(dump.text_at(seen, stage), stage, seen.as_recorded()) == seen.digest(), stage
        assert "planned as recorded" in dump._head(1, found[1])


def test_an_update_in_given_memory_needs_no_copy() -> None:
    """index_add into an argument copies it first, but not where that memory is given to the result: in the dump as in the plan."""
    seen = _update(donate=False)
    copied = pipeline.objects(pipeline.run(seen.module()))
    given = _update(donate=True)
    text = dump.text_at(given, "loops")
    assert memory_use.DONOR in text
    in_place = pipeline.objects(build.parse(text))
    assert len(copied) == len(in_place) + 1
    for s, objects in ((seen, copied), (given, in_place)):
        plan = program.compile_plan(s.instrs, s.live, s.donors, torch_tier(), 1)
        assert [o.symbol for o in objects] == list(dict.fromkeys(e.symbol for e in plan.entries))


def torch_tier() -> str:
    from frankentorch.runtime.jit import current_tier

    return current_tier()


def _update(donate: bool) -> watch.Seen:
    x, i, y = torch.zeros(5), torch.tensor([1, 3]), torch.ones(2)
    for t in (x, i, y):
        t._concrete()
    with watch.noted() as found:
        before = dict(program.PROGRAMS)
        program.PROGRAMS.clear()
        r = x.index_add(0, i, y)
        r.sum().item()
        program.PROGRAMS.update(before)
    seen = next(s for s in found if any("index" in sig.row.name or "scatter" in sig.row.name for sig, _ in s.instrs))
    assert seen.instrs[0][0].outs[0].shape == (5,)
    assert x.sum().item() == 0
    return watch.Seen(seen.instrs, seen.live, {min(seen.live): 0} if donate else {}, plan=seen.plan)


# ft dump, ft explain, ft run ------------------------------------------------------------------------------------------------
def test_dump_is_what_opt_reads(script: Path, tmp_path: Path) -> None:
    done = ft("dump", str(script), "--stage", "ft", "--window", "-1", "--", "a")
    assert done.returncode == 0, done.stderr
    assert "['a']" in done.stderr and "['a']" not in done.stdout
    wanted = re.search(r"objects ([0-9a-f]{64})", done.stdout)
    assert wanted is not None
    path = tmp_path / "window.mlir"
    path.write_text(done.stdout)
    digest = here("opt", str(path), "--stage", "loops", "-t", "digest", "--json")
    assert json.loads(digest.output) == {"output": wanted[1] + "\n", "error": None}
    folder = tmp_path / "asm"
    written = ft("dump", str(script), "--stage", "asm", "--kernel", "*tanh*", "-o", str(folder))
    files = written.stdout.split()
    assert written.returncode == 0 and files and all("tanh" in Path(f).read_text().splitlines()[0] for f in files)
    after = json.loads(ft("dump", str(script), "--after", "ft-dce", "--json").stdout)
    assert "ft.kernel" not in after[0]["text"] and "ft.tanh" in "".join(w["text"] for w in after)


def test_dump_of_a_function_and_of_a_script_that_fails(script: Path) -> None:
    one = ft("dump", f"{script}:twice", "--window", "-1")
    assert one.returncode == 0 and "ft.mul" in one.stdout, one.stderr
    bad = ft("dump", str(script), "--", "fail")
    assert bad.returncode == 1 and "as asked" in bad.stderr and "ft.tanh" in bad.stdout
    assert ft("dump", f"{script}:nothing").returncode == 2
    assert ft("dump", str(script), "--window", "99").returncode == 2
    assert ft("dump", str(script), "--after", "ft-nothing").returncode == 2


def test_explain_names_kernels(script: Path) -> None:
    done = ft("explain", str(script), "--json")
    value = json.loads(done.stdout)
    labels = [k["label"] for p in value["programs"] for k in p["kernels"]]
    assert done.returncode == 0 and "mm" in labels and any("tanh" in label for label in labels)
    assert value["counters"]["extern"] == value["counters"]["numpy"] == 0
    text = ft("explain", str(script), "--kernels")
    assert "tanh" in text.stdout and "from disk" in text.stdout


def test_run_gives_the_same_bits_however_it_runs(script: Path) -> None:
    plain = ft("run", str(script), "x", "--y")
    assert plain.returncode == 0, plain.stderr
    arguments, threads, loss = re.fullmatch(r"(\[.*\]) (\d+) (\S+)\n", plain.stdout).groups()  # type: ignore[union-attr]
    assert arguments == "['x', '--y']"
    for options in (["--threads", "1"], ["--threads", "3"], ["--cpu", "sse4.2"], ["--eager"], ["--cut", "random:3"]):
        done = ft("run", *options, str(script), "x", "--y")
        assert done.stdout.split()[-1] == loss, (options, done.stderr)
        assert options[0] != "--threads" or done.stdout.split()[-2] == options[1]


def test_bits_compares_ways_to_run(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bits, "WAYS", ((), ("--eager",), ("--threads", "3")))
    result = here("bits", str(script), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["same"] and len(json.loads(result.output)["runs"]) == 3
    differs = tmp_path / "differs.py"
    differs.write_text("import torch\nx = torch.full((3,), float(torch.get_num_threads()))\n")
    result = here("bits", str(differs))
    assert result.exit_code == 1 and "the bits differ" in result.output


def test_the_digest_of_an_outcome_sees_every_bit() -> None:
    zero, less = torch.zeros(2), torch.tensor([0.0, -0.0])
    assert bits.digest([zero]) == bits.digest([torch.zeros(2)]) != bits.digest([less])
    assert bits.digest({"a": 1, "b": zero}) != bits.digest({"a": zero, "b": 1})
    assert bits.digest(torch.zeros(2, 1)) != bits.digest(zero)
    layer = torch.nn.Linear(2, 2)
    before = bits.digest(layer)
    with torch.no_grad():
        layer.bias[0] += 1
    assert bits.digest(layer) != before


def test_run_passes_errors_and_exit_codes_on(script: Path, tmp_path: Path) -> None:
    failed = ft("run", str(script), "fail")
    assert failed.returncode == 1 and failed.stderr.endswith("ValueError: as asked\n")
    assert re.findall(r'File "(.*?)"', failed.stderr) == [str(script)], "the traceback begins in the script"
    module = ft("run", "-m", "examples.mlp", "x")
    assert module.returncode == 0 and "accuracy" in module.stdout, module.stderr
    quits = tmp_path / "quits.py"
    quits.write_text("raise SystemExit(7)")
    assert ft("run", str(quits)).returncode == 7
    assert ft("run", str(tmp_path / "missing.py")).returncode == 2
    assert ft("run", "--cut", "bogus", str(script)).returncode == 2
    counted = ft("run", "--json", str(script))
    assert json.loads(counted.stdout.splitlines()[-1])["runs"] >= 1


# ft opt, ops, cache, env ----------------------------------------------------------------------------------------------------
def test_opt_reports_bad_ir_as_a_finding(tmp_path: Path) -> None:
    bad = tmp_path / "bad.mlir"
    bad.write_text("func.func @main(%x: !ft.tensor<[4], f32>) -> !ft.tensor<[4], f32> {\n  func.return %x, %x : "
                   "!ft.tensor<[4], f32>, !ft.tensor<[4], f32>\n}\n")
    result = here("opt", str(bad), "--json")
    assert result.exit_code == 1 and json.loads(result.output)["error"]


def test_ops() -> None:
    one = json.loads(here("ops", "exp", "--json").output)
    assert one["kind"] == "pointwise" and one["gradient"] == "rule"
    assert json.loads(here("ops", "eq", "--json").output)["gradient"] == "no: a truth value"
    many = json.loads(here("ops", "--json").output)
    assert {"mm", "silu", "sort"} <= {r["name"] for r in many} and len(many) >= 200
    assert "exp" in here("ops", "ex*").output
    assert here("ops", "nothing").exit_code == 2
    lacking = json.loads(here("ops", "--missing", "--json").output)
    assert "exp" not in lacking["torch"]["missing"] and lacking["torch.Tensor"]["there"] > 300
    assert all(not hasattr(torch.Tensor, n) for n in lacking["torch.Tensor"]["missing"])


def test_documentation_lists_the_table() -> None:
    # In a process of its own: other tests may load rooms, or add rows.
    assert (ROOT / "docs" / "ops.md").read_text() == ft("ops", "--markdown").stdout, f"out of date: {ops.COMMAND}"


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page of documentation."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.S)


def test_the_architecture_page_shows_what_dump_prints(tmp_path: Path) -> None:
    page = "docs/architecture.md"
    tiny = tmp_path / "tiny.py"
    tiny.write_text(blocks(page, "python")[0])
    assert blocks("docs/start.md", "python")[0] == blocks(page, "python")[0]
    (dumped,) = json.loads(ft("dump", str(tiny), "--json").stdout)
    shown, loops = blocks(page, "mlir")
    assert "".join(shown.split()) in "".join(dumped["text"].split())
    assert continued(shown, "fused") == dumped["objects"]
    lines = "".join(ft("dump", str(tiny), "--stage", "loops").stdout.split())
    assert all("".join(line.split()) in lines for line in loops.splitlines() if line.strip() != "...")


def test_the_readme_runs() -> None:
    (code,) = blocks("README.md", "python")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, cwd=ROOT, check=False)
    assert done.stdout.startswith("tensor(0.") and "MeanBackward0" in done.stdout, done.stderr
    for page in ["README.md", *[f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")]]:
        for link in re.findall(r"\]\(([^):#]+\.md)[^)]*\)", (ROOT / page).read_text()):
            assert ((ROOT / page).parent / link).is_file(), f"{page} links to {link}"


def test_cache(tmp_path: Path) -> None:
    env = {"FT_CACHE_DIR": str(tmp_path)}
    (tmp_path / "one.py").write_text("import torch\nprint((torch.arange(3.0) * 5).tolist())\n")
    assert ft("run", str(tmp_path / "one.py"), env=env).stdout == "[0.0, 5.0, 10.0]\n"
    kinds = json.loads(ft("cache", "stats", "--json", env=env).stdout)["kinds"]
    assert kinds["object"]["entries"] >= 1 and kinds["plan"]["entries"] >= 1
    rows = json.loads(ft("cache", "ls", "--json", "--kind", "object", env=env).stdout)
    assert len(rows) == kinds["object"]["entries"]
    assert ft("cache", "verify", env=env).returncode == 0
    path = Path(rows[0]["path"])
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    damaged = ft("cache", "verify", "--json", env=env)
    assert damaged.returncode == 1 and json.loads(damaged.stdout)["damaged"] == [str(path)]
    assert json.loads(ft("cache", "clear", "--json", env=env).stdout)["removed"] >= 2
    assert ft("cache", "ls", "--json", env=env).stdout == "[]\n"


def test_env() -> None:
    facts = json.loads(ft("env", "--json", env={"FT_NUM_THREADS": "3"}).stdout)
    assert facts["threads"] == 3 and facts["settings"]["FT_NUM_THREADS"]["set"]
    assert facts["tier"] in facts["tiers"] and facts["versions"]["LLVM"]
    assert "CPU tier" in ft("env").stdout


def test_every_command_has_help_and_the_import_stays_light() -> None:
    for name in COMMANDS:
        assert ft(name, "--help").returncode == 0, name
    assert here("nothing").exit_code == 2
    light = "import sys, frankentorch; print([n for n in ('click', 'rich', 'xdsl', 'llvmlite', 'torch') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", light], capture_output=True, text=True, check=True).stdout == "[]\n"
