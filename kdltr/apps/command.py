"""The command `kdltr`: finding who does what was asked, and saying in one line what went wrong.

What a command takes is in `arguments`; what it does is in another module of this folder, imported
when it is asked for, so that `--help` and a mistyped option need no PyTorch.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import inspect
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from kdltr.apps import arguments as takes
from kdltr.apps import data_arguments as data_takes
from kdltr.apps.signals import Terminated, handled, interrupt
from kdltr.messages import is_message
from kdltr.settings import Threads, check

# Who does it: a function of a module beside this one, or nobody, where commands follow.
COMMANDS = {
    "read": (takes.read, "read:command"),
    "export": (takes.export, "export:command"),
    "distill": (takes.distill, "distill:command"),
    "evaluate": (takes.evaluate, "evaluate:command"),
    "data": (data_takes.data, ""),
    "data verify": (data_takes.verify, "data:verify"),
    "data convert": (data_takes.convert, "data:convert"),
    "data generate": (data_takes.generate, "data:generate"),
    "data shards": (data_takes.shards, "data:shards"),
    "data feed": (data_takes.feed, "bench:feed"),
    "bench": (takes.bench, "bench:command"),
    "run": (takes.run, "profile:run"),
    "bundle": (takes.bundle, "bundle:command"),
    "report": (takes.report, "profile:report"),
    "publish": (takes.publish, "profile:publish"),
    "clean": (takes.clean, "profile:clean"),
    "notebook": (takes.notebook, "profile:notebook"),
}
TOP = """Read small, blurred words; train and measure what reads them.

kdltr read word.png"""
# What a shell reports of a program ended by such a signal.
BROKEN_PIPE, INTERRUPTED, TERMINATED = 141, 130, 143


class Parser(argparse.ArgumentParser):
    """Says a wrong option in one line, and what to do."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `kdltr`; returns the exit status.

    It is 2, after one line on stderr, where something can be mended by who typed the command.
    """
    for name in ("stdout", "stderr"):  # closed, as by a shell's >&-
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):  # file names need not be text, nor terminals UTF-8
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            options = parse(sys.argv[1:] if arguments is None else arguments)
            with handled(interrupt):  # SIGTERM too: what is half written is removed
                return _run(options)
        finally:
            sys.stdout.flush()  # a reader that has gone is noticed here, not at the exit
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def _run(options: argparse.Namespace) -> int:
    logging.basicConfig(format="[%(asctime)s] %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("kdltr").setLevel(logging.INFO)
    module, _, function = options.does.partition(":")
    try:
        for name in ("threads", "workers"):
            check(Threads | None, getattr(options, name, None), f"--{name}")
        return getattr(importlib.import_module(f"kdltr.apps.{module}"), function)(options)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt as stop:
        sys.stderr.write(f"{options.prog}: interrupted; what was finished is kept\n")
        return TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
    except Exception as error:
        if not is_message(error):
            raise
        sys.stderr.write(f"{options.prog}: {error}\n")
        return 2


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """What was asked; what follows `--` after `run` is for snakemake, as it stands."""
    cut = list(arguments).index("--") if arguments[:1] == ["run"] and "--" in arguments else None
    options = build_parser().parse_args(arguments[:cut])
    options.snakemake = arguments[cut + 1 :] if cut else []
    return options


def build_parser() -> Parser:
    """The parser of all commands."""
    top = Parser("kdltr", usage="kdltr COMMAND …", **_help(TOP))
    version = importlib.metadata.version("kdltr")
    top.add_argument("--version", action="version", version=f"kdltr {version}")
    groups = {"": _commands(top)}
    for name, (declare, does) in COMMANDS.items():
        group, _, last = name.rpartition(" ")
        text = inspect.getdoc(declare) or ""
        parser = groups[group].add_parser(last, prog=f"kdltr {name}", **_help(text, name))
        parser.usage = f"kdltr {name} {declare(parser)}"
        parser.set_defaults(does=does, prog=parser.prog)
        if not does:
            groups[name] = _commands(parser)
    return top


def _commands(parser: Parser) -> argparse._SubParsersAction:
    return parser.add_subparsers(dest="COMMAND", required=True, help=argparse.SUPPRESS)


def _help(text: str, group: str = "") -> dict[str, Any]:
    """Settings of a parser: the text with the commands below it, and its last paragraph apart."""
    text, _, example = text.rpartition("\n\n")
    start = f"{group} ".lstrip()
    below = {name.removeprefix(start): declare.__doc__.splitlines()[0].rstrip(".")
             for name, (declare, _) in COMMANDS.items()
             if name.startswith(start) and " " not in name.removeprefix(start)}
    if below:
        text += "\n\ncommands:" + "".join(f"\n  {name:10}{does}" for name, does in below.items())
    return {"description": text, "epilog": f"example:\n  {example}", "allow_abbrev": False,
            "formatter_class": _format}


def _format(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=24, width=79)
