"""What all studies share: the command line, the folder of a run, tables, figures, and published values beside measured.

A study declares its options in a line each, and writes through a `Run`:

    OPTIONS = (option("scenes", 800, "to fit on, and to judge on"),)
    options = read_options(__doc__, OPTIONS, out="results/trucks", seeds=3, smoke={"scenes": 96})
    with Run(options) as run:
        run.write(table, "table1")

`read_options` adds ``--out``, ``--seeds`` or ``--seed``, and ``--smoke`` where a study has them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pandas as pd

from chinspect import __version__
from chinspect.files import output_folder, replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INTERVALS = ("_low", "_high")
"""What the names of columns with the ends of intervals end with."""
Option = tuple[str, dict[str, Any]]


def option(name: str, default: Any = None, text: str | None = None, **settings: Any) -> Option:
    """The option ``--name``, of the type of its default value; a list takes one value or more, False is a switch.

    Args:
        name: as it stands on the command line.
        default: None is for a text that may be left out; ``type=Path`` makes it a path.
        text: what ``--help`` says of it.
        settings: anything else that `argparse.ArgumentParser.add_argument` takes.
    """
    settings |= {"default": default, "help": text}
    if default is False:
        settings["action"] = "store_true"
    elif isinstance(default, list):
        settings.setdefault("nargs", "+")
    elif default is not None:
        settings.setdefault("type", type(default))
    return f"--{name}", settings


def read_options(
    text: str | None,
    options: Sequence[Option] = (),
    *,
    out: str | None = None,
    smoke: Mapping[str, Any] | None = None,
    generated: Sequence[str] = (),
    apart: Sequence[tuple[str, str]] = (),
    arguments: Sequence[str] | None = None,
    **seeds: int,
) -> argparse.Namespace:
    """Reads the command line of a study.

    Args:
        text: the docstring of its module, which ``--help`` prints.
        options: its own options.
        out: the default of ``--out``, the folder of the run; None where nothing is written.
        smoke: values of options that ``--smoke`` replaces to make everything small; None where there is no ``--smoke``.
            An option that it replaces is refused beside it.
        generated: options that name data, where ``--smoke`` draws its own: they are refused beside it.
        apart: pairs of options that contradict each other.
        arguments: instead of those that the script was called with.
        seeds: the default of ``seeds=``, how often everything is repeated, or of ``seed=``.
    """
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = [*options, *(option(name, default) for name, default in seeds.items())]
    if out is not None:
        every.append(option("out", Path(out), "the folder of the run"))
    if smoke is not None:
        every.append(option("smoke", False, "everything small: it tests the script, its numbers mean nothing"))
    for flag, settings in every:
        parser.add_argument(flag, **settings)
    result = parser.parse_args(arguments)
    asked = _on_command_line(every, arguments)
    for one, other in apart:
        if {one, other} <= asked:
            refuse(f"--{one} and --{other} contradict each other: give one of both")
    if smoke is not None and result.smoke:
        _check_smoke(asked, smoke, generated)
        vars(result).update(smoke)
    return result


def _on_command_line(every: Sequence[Option], arguments: Sequence[str] | None) -> set[str]:
    """Names of the options that were given, be it with their default values."""
    parser = argparse.ArgumentParser(add_help=False)
    for flag, settings in every:
        parser.add_argument(flag, **(settings | {"default": argparse.SUPPRESS, "required": False}))
    known, _ = parser.parse_known_args(arguments)
    return {name.replace("_", "-") for name in vars(known)}


def _check_smoke(asked: set[str], smoke: Mapping[str, Any], generated: Sequence[str]) -> None:
    """Refuses what ``--smoke`` would silently replace."""
    for name in generated:
        if name in asked:
            refuse(f"--smoke draws its own data, and --{name} names others: give one of both")
    for name in smoke:
        flag = name.replace("_", "-")
        if flag in asked:
            refuse(f"--smoke decides --{flag} itself: give one of both")


def refuse(reason: str) -> NoReturn:
    """Ends the script with status 2, as a wrong command line does."""
    print(f"error: {reason}", file=sys.stderr)
    raise SystemExit(2)


class Run:
    """The folder of a run: tables and figures, each written whole, and ``run.json`` once the study is done.

    Attributes:
        options: those of the study; ``options.out`` is the folder.
        out: the folder, which is made.
        facts: what ``run.json`` says beside the options, the version, and the seconds, of the clock and of one core.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.out = output_folder(options.out)
        self.facts: dict[str, Any] = {}
        self._start = time.time()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None:
            document: dict[str, Any] = {key: str(value) for key, value in vars(self.options).items()}
            document |= {"version": __version__} | self.facts
            document |= {"seconds": round(self.seconds), "core_seconds": round(time.process_time())}
            with replacing(self.out / "run.json") as path:
                path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.time() - self._start

    def write(self, table: pd.DataFrame, name: str, *, decimals: int = 2, rows: int | None = None) -> None:
        """Writes ``name.csv`` and ``name.tex`` as `write_table` does, and prints the first rows, all by default."""
        write_table(table, self.out, name, decimals=decimals)
        short = without_intervals(table)[:rows].round(decimals)
        print(f"\n{name}\n{short.to_string(index=False)}", flush=True)


def without_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """The table without the ends of its intervals, which would make it too wide to read."""
    return table[[column for column in table.columns if not column.endswith(INTERVALS)]]


def write_table(table: pd.DataFrame, folder: Path, name: str, *, decimals: int = 2) -> None:
    """Writes ``name.csv``, and without the ends of intervals ``name.tex`` (booktabs), with some decimals."""
    with replacing(folder / f"{name}.csv") as path:
        table.to_csv(path, index=False)
    # pandas writes LaTeX through jinja2, which torch brings along
    text = without_intervals(table).to_latex(
        index=False, escape=True, na_rep="--", float_format=lambda value: f"{value:.{decimals}f}"
    )
    with replacing(folder / f"{name}.tex") as path:
        path.write_text(text, encoding="utf-8")


def beside(table: pd.DataFrame, keys: Iterable[object], published: Mapping[str, Mapping[Any, Any]]) -> pd.DataFrame:
    """The table with a column for each entry of ``published``: its value for the key of each row, empty without one."""
    rows = list(keys)
    # nan and not None, so that a column of numbers stays one where nothing is published
    return table.assign(**{column: [values.get(key, math.nan) for key in rows] for column, values in published.items()})


def save_figure(figure: Figure, path: Path, dpi: int = 130) -> None:
    """Writes a figure, in the format that the name of the file ends with."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=dpi)
