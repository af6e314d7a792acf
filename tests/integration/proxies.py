"""
Proxies for tests: the real programs, each with the configuration that the guide has for it.

A block of the guide is run as it stands there, but for the places in it: C{127.0.0.1:9000} and C{:9001} become the
nodes of the test, and where the proxy listens is a free port of the loopback interface. Before the block comes what a
distribution has around it, with every file in a folder of the test's own.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
from pathlib import Path

import pytest

from tests.integration.process import ROOT, Process, freePort, pause
from tests.test_docs import blocks

GUIDE = ROOT / "docs" / "embedding.md"

_MODULES = Path("/usr/lib/apache2/modules")

#: What each listens at in its block, and at a port of the test's.
_LISTENS = {
    "nginx": ("listen 80;", "listen 127.0.0.1:{port};"),
    "haproxy": ("bind :80\n", "bind 127.0.0.1:{port}\n"),
    "caddy": ("app.example.com {", "http://127.0.0.1:{port} {{"),
    "apache": ("<VirtualHost *:80>", "<VirtualHost 127.0.0.1:{port}>"),
}

_AROUND = {
    "nginx": """
daemon off;
worker_processes 1;
{user}
error_log stderr notice;
pid nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxied;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
{block}
}}
""",
    "haproxy": "{block}",
    "caddy": """
{{
    admin 127.0.0.1:{admin}
}}
{block}
""",
    "apache": """
DefaultRuntimeDir {folder}
PidFile apache.pid
ErrorLog /dev/stderr
Mutex pthread
ServerName localhost
User nobody
Listen 127.0.0.1:{port}
{modules}
{block}
""",
}

_COMMANDS = {
    "nginx": ("nginx", "-p", ".", "-e", "stderr", "-c", "proxy.conf"),
    "haproxy": ("haproxy", "-db", "-f", "proxy.conf"),
    "caddy": ("caddy", "run", "--adapter", "caddyfile", "--config", "proxy.conf"),
    "apache": ("apache2", "-X", "-d", ".", "-f", "proxy.conf"),
}

#: What has been started and not stopped.
running: set[Proxy] = set()


class Proxy:
    """
    One that runs.

    @ivar port: where it listens, on 127.0.0.1.
    """

    def __init__(self, name: str, folder: Path, *, user: str = "") -> None:
        """
        Skips the test if the program is not installed.

        @param name: of the program, as the blocks of the guide are marked with it.
        @param user: user and group of nginx's workers, if not its own.
        """
        self.port, self.admin = freePort(), freePort()
        self._name = name
        self._folder = folder
        self._user = f"user {user};" if user else ""
        self._program = _program(_COMMANDS[name][0])

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    async def start(self, nodes: dict[str, str]) -> None:
        """
        @param nodes: what stands in the block for a node, and what is to stand there.
        @return: fires when it takes connections.
        """
        (self._folder / "proxy.conf").write_text(self._configuration(nodes))
        running.add(self)
        self.process = self._run(*_COMMANDS[self._name][1:])
        while not _isListenedOn(self.port):
            assert not self.process.isGone, self.process.output
            await pause(0.05)

    async def reload(self) -> None:
        """Make Caddy load its configuration again, as C{systemctl reload caddy} does."""
        order = ("reload", "--force", "--adapter", "caddyfile", "--config", "proxy.conf")
        assert await self._run(*order, "--address", f"127.0.0.1:{self.admin}").wait() == 0

    async def stop(self) -> None:
        running.remove(self)
        await self.process.stop(signal.SIGTERM)

    def _run(self, *args: str) -> Process:
        home = {"HOME": str(self._folder), "XDG_CONFIG_HOME": str(self._folder), "XDG_DATA_HOME": str(self._folder)}
        return Process.start(self._program, *args, cwd=self._folder, env=home)

    def _configuration(self, nodes: dict[str, str]) -> str:
        (block,) = blocks(GUIDE, self._name)
        before, after = _LISTENS[self._name]
        for old, new in {before: after.format(port=self.port), **nodes}.items():
            assert block.count(old) == 1, old
            block = block.replace(old, new)
        return _AROUND[self._name].format(
            block=block.lstrip("\n"),
            folder=self._folder,
            port=self.port,
            admin=self.admin,
            user=self._user if os.geteuid() == 0 else "",
            modules=_modules() if self._name == "apache" else "",
        )


def _program(name: str) -> str:
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin")
    if path is None:
        pytest.skip(f"{name} is not installed: apt-get install {name}")
    return path


def _modules() -> str:
    """What Debian's Apache has loaded by itself, and what the guide says is to be enabled."""
    (enabled,) = re.findall(r"^    a2enmod (.*)$", GUIDE.read_text("utf-8"), re.MULTILINE)
    names = ["mpm_event", "authz_core", *enabled.split()]
    return "\n".join(f"LoadModule {name}_module {_MODULES / f'mod_{name}.so'}" for name in names)


def _isListenedOn(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
