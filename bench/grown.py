"""
A node of a certain size under measurement, and what C{wsload} says of it.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from bench.contestants import SOURCES, node
from bench.processes import Server
from bench.programs import Tools
from bench.scenarios import PATIENCE, LoadError, ran

#: What the service of a node may be told.
Option = int | str

#: Seconds that connections are held at most; they are closed when they are not needed any more.
_HELD = 3600.0

_APP = SOURCES / "growing_app.py"


def grown(folder: Path, port: int, options: Mapping[str, Option], *, name: str = "bench", redis: str = "") -> Server:
    """
    Our node, as its user starts it, with the service of C{growing_app.py}.

    @param folder: where its configuration is written.
    @param options: of the service.
    @param redis: the URL of its Redis, if it has one.
    """
    lines = ["[node]", f'server_name = "{name}"']
    if redis:
        lines += ["[bus]", 'type = "redis"', "[bus.redis]", f'urls = ["{redis}"]']
    lines += ["[[service]]", f'use = "{_APP.stem}:makeService"', "[service.options]"]
    lines += [f"{option} = {json.dumps(value)}" for option, value in options.items()]
    config = folder / f"{name}.toml"
    config.write_text("\n".join(lines) + "\n")
    # A module is found beside the configuration.
    (folder / _APP.name).write_bytes(_APP.read_bytes())
    return node(port, config)


def load(
    tools: Tools, mode: str, servers: Sequence[Server], seconds: float, options: Mapping[str, object]
) -> dict[str, float]:
    """
    Put one or several servers under load.

    @param options: of C{wsload}, without the dashes.
    @return: what it printed; C{cpu_us_per_msg} is of all of them together.
    @raise LoadError: it failed, or no message came back.
    """
    printed = ran([str(tools.wsload), *words(mode, servers, seconds, options)], seconds)
    said: dict[str, float] = json.loads(printed)
    if not said.get("received", 1):
        raise LoadError(f"Of {said['sent']:.0f} messages none came back.")
    return said


def words(mode: str, servers: Sequence[Server], seconds: float, options: Mapping[str, object]) -> list[str]:
    """The command line of C{wsload}, without its name."""
    ports, pids = (",".join(map(str, each)) for each in zip(*((each.port, each.pid) for each in servers), strict=True))
    named = {"port": ports, "pid": pids, "seconds": seconds, **options}
    return [mode, *(str(word) for option, value in named.items() for word in (f"--{option}", value))]


@contextmanager
def silent(tools: Tools, server: Server, count: int) -> Iterator[None]:
    """
    So many connections that are held, and say nothing.

    @raise LoadError: they could not be opened.
    """
    if not count:
        yield
        return
    argv = [str(tools.wsload), *words("idle", [server], _HELD, {"conns": count})]
    holding = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        until = monotonic() + PATIENCE
        while connections(holding.pid) < count:
            if holding.poll() is not None or monotonic() > until:
                raise LoadError(f"{count:,} connections could not be opened.")
            sleep(0.05)
        yield
    finally:
        holding.kill()
        holding.wait()


def connections(pid: int) -> int:
    """How many C{wsload} has opened; one more when it has begun to talk on all of them."""
    # It has nothing else open but the three that every process has.
    return len(os.listdir(f"/proc/{pid}/fd")) - 3
