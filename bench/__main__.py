"""
C{python -m bench}: measures everybody, prints the table, and writes C{bench/RESULTS.md} and the picture.
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from bench.contestants import CONTESTANTS, Contestant
from bench.onenode import OneNode, say
from bench.picture import CannotDrawError, draw
from bench.programs import FOLDER, HERE, ROOT, MissingError, Tools
from bench.report import page, terminal
from bench.results import Found, Results, machine, today
from bench.scenarios import IDLE, SPARE_FILES, Scenario, scenarios
from bench.sections import MORE, TARGETS, Section

#: Seconds of a scenario in a run that is only to show that everything works.
QUICK = 0.3

_Named = TypeVar("_Named", Contestant, Scenario, Section)


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """What was asked for; the process ends where it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure this package side by side with other systems. A run of everything writes bench/RESULTS.md,"
        " bench/results.json, docs/speed.png and docs/speed.svg; a run of less only prints its tables.",
    )
    add = parser.add_argument
    known = {
        "only": [contestant.name for contestant in CONTESTANTS],
        "scenarios": [scenario.name for scenario in scenarios()],
        "sections": ["node", *(section.name for section in MORE)],
    }
    for option, names in known.items():
        add(f"--{option}", type=lambda text: text.split(","), metavar="NAME,…", help=f"of {', '.join(names)}")
    add("--rounds", type=int, default=3, metavar="N", help="turns, of which the median counts (default: 3)")
    add("--seconds", type=float, default=1.5, metavar="S", help="of each scenario in each turn (default: 1.5)")
    add("--quick", action="store_true", help="one short turn with few connections, to see whether everything works")
    add("--folder", type=Path, default=FOLDER, help="where programs are built (default: build/bench)")
    add("--output", type=Path, metavar="FOLDER", help="write everything there, whatever was measured")
    add("--draw", action="store_true", help="measure nothing; write pages and picture from results.json again")
    options = parser.parse_args(argv)
    for option, names in known.items():
        if unknown := set(getattr(options, option) or ()) - set(names):
            parser.error(f"--{option}: there is no {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("--rounds and --seconds have to be positive")
    if (options.only or options.scenarios) and not options.sections:
        options.sections = ["node"]
    if options.quick:
        options.rounds, options.seconds = 1, QUICK
    return options


def openFiles(wanted: int) -> int:
    """
    Raise the limit of open files, for the processes that are started from here, as far as needed and allowed.

    @return: how many they may have.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = [wanted if each == resource.RLIM_INFINITY else each for each in (soft, hard)]
    if limits[0] < wanted:
        limits[0] = min(wanted, limits[1])
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[0], hard))
    return limits[0]


def measured(options: argparse.Namespace) -> Results:
    """
    Run what was asked for.

    @raise MissingError: the load generator cannot be built.
    """
    tools = Tools.build(options.folder)
    files = openFiles(IDLE + SPARE_FILES)
    todo = chosen(scenarios(files, quick=options.quick), options.scenarios)
    contestants = chosen(CONTESTANTS, options.only)

    def oneNode(tools: Tools, rounds: int, quick: bool) -> Found:
        node = OneNode(tools, contestants, todo, options.seconds)
        return Found.of("One node", node.measure(rounds), remarks(todo, contestants, quick, files))

    started = today()
    sections = chosen([Section("node", oneNode), *MORE], options.sections)
    found = [section.run(tools, options.rounds, options.quick) for section in sections]
    left = {each.contestant for section in found for each in section.absent if not each.scenario}
    versions = {each.title: each.versions(tools) for each in contestants if each.title not in left}
    return Results(started, options.rounds, options.seconds, machine(), versions, found)


def remarks(todo: Iterable[Scenario], contestants: Iterable[Contestant], quick: bool, files: int) -> Iterator[str]:
    """What belongs under the table of one node."""
    for scenario in todo:
        if scenario.mode != "idle":
            continue
        limited = not quick and files < IDLE + SPARE_FILES
        why = f", and not {IDLE:,}, for the hard limit of open files is {files:,} here" if limited else ""
        yield f"idle: {scenario.conns:,} connections{why}."
        for each in contestants:
            if each.mostIdle < scenario.conns:
                yield f"idle, {each.title}: {each.mostIdle:,} connections; more would take it longer than a minute."


def chosen(known: Iterable[_Named], names: Sequence[str] | None) -> list[_Named]:
    """Those that were named; all, if none was."""
    return [each for each in known if names is None or each.name in names]


def write(results: Results, folder: Path, pictures: Path) -> None:
    """
    The page, the figures behind it, and the picture.

    @raise CannotDrawError: there is no picture; the rest is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results.write(folder / "results.json")
    (folder / "RESULTS.md").write_text(page(results, TARGETS), "utf-8")
    draw(results, pictures / "speed.png", pictures / "speed.svg")


def main(argv: Sequence[str]) -> int:
    """
    @return: the exit status.
    """
    options = arguments(argv)
    part = options.quick or options.sections
    try:
        if options.draw:
            results = Results.read((options.output or HERE) / "results.json")
        else:
            results = measured(options)
            print(terminal(results, TARGETS))
        if options.output:
            write(results, options.output, options.output)
        elif options.draw or not part:
            write(results, HERE, ROOT / "docs")
    except (MissingError, CannotDrawError) as error:
        say("\n".join([str(error), *getattr(error, "__notes__", ())]))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
