"""
The Autobahn|Testsuite against our server, with the fast paths and without them.

It runs on Python 2.7 only: C{pip install autobahntestsuite} in an environment of that gives its command C{wstest}, to
be found on the PATH, or named by the environment variable C{WSTEST}. What is tested is L{ServerFactory} and all that it
stands on, on real TCP; in the place of a node is an echo, as the testsuite wants it. Prints the verdicts that are not
OK::

    python -m tests.integration.autobahn_testsuite FOLDER [CASES ...]
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import react

from tests.integration.process import Process
from tests.ws.echo import echoFactory
from twisted_crossws.ws.direct import useDirectWrites

#: All but the limits (9), which take long and measure rather than test, and compression (12 and 13).
QUICK = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")

#: Verdicts that say that all is as it should be.
GOOD = {"OK", "NON-STRICT", "INFORMATIONAL"}

#: A node speaks JSON, so it reads a binary message as the text that it may be, and answers it with a text; the
#: testsuite waits for the same in a binary message.
BINARY = {f"1.2.{number}" for number in range(1, 9)}


def command() -> str | None:
    """Where C{wstest} is, if it is anywhere."""
    return shutil.which(os.environ.get("WSTEST", "wstest"))


async def verdicts(reactor: Any, folder: Path, cases: tuple[str, ...] = QUICK) -> dict[str, dict[str, Any]]:
    """
    Run the testsuite.

    @param folder: gets its reports.
    @return: by server, C{"fast"} and C{"ordinary"}, and by case: C{behavior}, C{behaviorClose}, C{reportfile} and more.
    """
    wstest = command()
    assert wstest is not None
    ports = {}
    for name in ("fast", "ordinary"):
        factory = echoFactory(reactor, isFast=name == "fast")
        ports[name] = port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(factory)
        if name == "fast":
            useDirectWrites(port, reactor)
    try:
        spec = {
            "outdir": str(folder),
            "options": {"failByDrop": False},
            "servers": [
                {"agent": name, "url": f"ws://127.0.0.1:{port.getHost().port}"} for name, port in ports.items()
            ],
            "cases": list(cases),
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        specification = folder / "spec.json"
        specification.write_text(json.dumps(spec))
        # Our own path is not for its Python.
        process = Process.start(
            wstest, "-m", "fuzzingclient", "-s", str(specification), cwd=folder, env={"PYTHONPATH": ""}
        )
        await process.ended
        index = folder / "index.json"
        assert index.exists(), process.output
        found: dict[str, dict[str, Any]] = json.loads(index.read_text())
        return found
    finally:
        await DeferredList([port.stopListening() for port in ports.values()])


def notGood(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Of the verdicts those that say that something is wrong: by server and case."""
    return {
        server: {
            case: f"{verdict['behavior']}, closing {verdict['behaviorClose']}"
            for case, verdict in cases.items()
            if not {verdict["behavior"], verdict["behaviorClose"]} <= GOOD
        }
        for server, cases in found.items()
    }


async def _main(reactor: Any, folder: str, *cases: str) -> None:
    path = Path(folder).resolve()
    path.mkdir(parents=True, exist_ok=True)
    found = await verdicts(reactor, path, cases or QUICK)
    for server, bad in notGood(found).items():
        kinds = [verdict["behavior"] for verdict in found[server].values()]
        print(server, {kind: kinds.count(kind) for kind in sorted(set(kinds))})
        for case, verdict in sorted(bad.items()):
            print(f"  {case}: {verdict}")


if __name__ == "__main__":

    def main(reactor: Any, *args: str) -> Deferred[None]:
        return ensureDeferred(_main(reactor, *args))

    react(main, sys.argv[1:])
