"""The group of commands; each is imported when it is asked for."""

from __future__ import annotations

import importlib

import click

COMMANDS = {
    "run": "run a script in which torch is FrankenTorch",
    "dump": "what a script's programs become: IR at each stage, LLVM, assembly",
    "explain": "what a script's programs are made of, and where the time to build them went",
    "bits": "run a script in several ways and compare the bits of what it leaves",
    "opt": "passes over a file of IR (xdsl-opt with our dialects)",
    "ops": "the op table",
    "cache": "the folder of compiled kernels and plans",
    "env": "versions, processor, threads, cache and settings",
}


class Commands(click.Group):
    """Knows every command's name and line of help without importing any."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = importlib.import_module(f"frankentorch.cli.{'opt_command' if cmd_name == 'opt' else cmd_name}").command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="frankentorch", message="ft %(version)s")
def app() -> None:
    """FrankenTorch: PyTorch for the CPU as a tensor compiler.

    Every command takes --help, and --json for machines. Exit status: 0 ok, 1 a finding, 2 wrong usage.
    """
