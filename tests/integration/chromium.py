"""
A real browser for the integration tests: Debian's C{chromium} without a window, told what to do by the Chrome
DevTools Protocol.

::

    browser = await Browser.start()
    tab = await browser.newTab("http://127.0.0.1:9000/", 390, 844, mobile=True)
    await tab.type("#name", "Mira")
    await tab.press("Enter")
    await tab.waitFor("document.querySelector('#messages').children.length > 0")
    assert tab.console == []
    await browser.stop()

One WebSocket carries the commands for all tabs (C{sessionId} says for which), so nothing here needs HTTP. Waiting is
done inside the page; a number of seconds in this module is a limit for a browser that hangs, never a pause.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import tempfile
from base64 import b64decode
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

#: Seconds after which a command that the browser has not answered is given up. A cold start on a busy machine takes
#: several.
PATIENCE = 60.0

#: Skips a test where there is none. A mark, since a fixture of pytest-twisted that skips is an error from its second
#: test on.
needsChromium = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium (Debian package chromium)")

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    # A tab behind another one is to be as quick as the one in front: two people chat in two tabs.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--remote-debugging-port=0",
)

_KEYS = {"Enter": (13, "\r"), "Escape": (27, ""), "Tab": (9, "")}

_WAIT = """new Promise((resolve, reject) => {
    const end = performance.now() + %d;
    const look = () => {
        let value;
        try { value = (%s); } catch (error) { return reject(error); }
        if (value) resolve(value);
        else if (performance.now() > end) reject(new Error("It did not become true: " + %s));
        else setTimeout(look, 10);
    };
    look();
})"""

_CENTRE = """(() => {
    const element = document.querySelector(%s);
    if (!element) throw new Error("There is no " + %s);
    element.scrollIntoView({block: "nearest"});
    const box = element.getBoundingClientRect();
    const x = box.left + box.width / 2, y = box.top + box.height / 2, hit = document.elementFromPoint(x, y);
    if (!hit || !(element.contains(hit) || hit.contains(element)))
        throw new Error("Something covers " + %s);
    return {x, y};
})()"""


class BrowserError(Exception):
    """A command failed, or a script in the page raised."""


class ConsoleMessage(NamedTuple):
    """
    Something that a developer would see in the console.

    @ivar kind: C{log}, C{info}, C{warning}, C{error} …: the page called that method; C{exception}: nobody caught it;
        C{network}, C{security} …: the browser itself complains.
    """

    kind: str
    text: str


class _Process(ProcessProtocol):
    """The browser process: tells its address on standard error, and when it and its children have ended."""

    def __init__(self) -> None:
        self.listening: Deferred[str] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self._said = ""

    def errReceived(self, data: bytes) -> None:
        if not self.listening.called:
            self._said += data.decode("utf-8", "replace")
            found = re.search(r"DevTools listening on (ws://\S+)\s", self._said)
            if found:
                self.listening.callback(found[1])

    def processEnded(self, reason: Failure) -> None:
        if not self.listening.called:
            self.listening.errback(BrowserError(f"chromium ended at once:\n{self._said}"))
        self.ended.callback(None)


class _Connection(WebSocketClientProtocol):
    """Commands with their answers, and events by session."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: Deferred[None] = Deferred()
        self.closed: Deferred[None] = Deferred()
        self.listeners: dict[str, Callable[[str, dict[str, Any]], None]] = {}
        self._ids = count(1)
        self._open: dict[int, Deferred[dict[str, Any]]] = {}

    def command(self, method: str, params: dict[str, Any], sessionId: str | None = None) -> Deferred[dict[str, Any]]:
        commandId = next(self._ids)
        message = {"id": commandId, "method": method, "params": params}
        answer = self._open[commandId] = Deferred()
        self.sendMessage(json.dumps(message | ({"sessionId": sessionId} if sessionId else {})).encode())
        return answer.addTimeout(PATIENCE, reactor)

    def onOpen(self) -> None:
        self.opened.callback(None)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        message = json.loads(payload)
        answer = self._open.pop(message.get("id"), None)
        if answer is None:
            listener = self.listeners.get(message.get("sessionId"))
            if listener is not None and "method" in message:
                listener(message["method"], message["params"])
        elif not answer.called and "error" in message:
            answer.errback(BrowserError(message["error"]["message"]))
        elif not answer.called:
            answer.callback(message["result"])

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:
        if not self.opened.called:
            self.opened.errback(ConnectionLost(f"The browser refused the connection: {reason}"))
        for answer in self._open.values():
            if not answer.called:
                answer.errback(ConnectionLost("The browser has gone."))
        self.closed.callback(None)


class Browser:
    """A browser with a new, empty profile."""

    def __init__(self, profile: str) -> None:
        self._profile = profile
        self._process = _Process()
        self._transport: Any = None
        self._connection: Any = None

    @classmethod
    async def start(cls) -> Browser:
        """
        Start it.

        @raise BrowserError: it ended at once; its last words are in the message.
        """
        browser = cls(tempfile.mkdtemp(prefix="crossws-chromium-"))
        try:
            await browser._launch()
        except BaseException:
            await browser.stop()
            raise
        return browser

    async def _launch(self) -> None:
        # In a session of its own, so that stop() reaches the children of the launcher script too.
        arguments = ["setsid", "chromium", *_FLAGS, f"--user-data-dir={self._profile}", "about:blank"]
        self._transport = reactor.spawnProcess(self._process, "setsid", arguments, env=dict(os.environ))
        url = await self._process.listening.addTimeout(PATIENCE, reactor)
        port = int(re.findall(r":(\d+)/", url)[0])
        factory = WebSocketClientFactory(url)
        factory.protocol = _Connection
        factory.setProtocolOptions(maxFramePayloadSize=0, maxMessagePayloadSize=0)
        self._connection = await HostnameEndpoint(reactor, "127.0.0.1", port).connect(factory)
        await self._connection.opened

    async def newTab(self, url: str, width: int, height: int, mobile: bool = False) -> Tab:
        """
        Open an address, and wait until it is loaded.

        @param width: CSS pixels, as C{height}.
        @param mobile: a touch screen with two device pixels to each CSS pixel.
        """
        created = await self._connection.command("Target.createTarget", {"url": "about:blank", "newWindow": True})
        attach = {"targetId": created["targetId"], "flatten": True}
        attached = await self._connection.command("Target.attachToTarget", attach)
        tab = Tab(self._connection, created["targetId"], attached["sessionId"])
        await tab.resize(width, height, mobile)
        await tab.open(url)
        return tab

    async def stop(self) -> None:
        """End all its processes, and remove the profile."""
        if self._transport is not None:
            if self._connection is not None and not self._connection.closed.called:
                self._connection.sendMessage(b'{"id": 0, "method": "Browser.close"}')
            else:
                self._kill()
            try:
                await self._process.ended.addTimeout(PATIENCE, reactor)
            except TimeoutError:
                self._kill()
                raise
        shutil.rmtree(self._profile)

    def _kill(self) -> None:
        if self._transport.pid is not None:
            os.killpg(self._transport.pid, signal.SIGKILL)


class Tab:
    """
    One page.

    @ivar console: every L{ConsoleMessage} so far, uncaught exceptions included.
    """

    def __init__(self, connection: _Connection, targetId: str, sessionId: str) -> None:
        self.console: list[ConsoleMessage] = []
        self._connection = connection
        self._targetId = targetId
        self._sessionId = sessionId
        self._loaded: Deferred[None] | None = None
        connection.listeners[sessionId] = self._event

    async def open(self, url: str) -> None:
        """Go to an address, and wait until it is loaded. C{console} goes on."""
        for domain in ("Page", "Runtime", "Log"):
            await self._command(f"{domain}.enable")
        self._loaded = Deferred()
        answer = await self._command("Page.navigate", url=url)
        if "errorText" in answer:
            raise BrowserError(f"{url}: {answer['errorText']}")
        await self._loaded.addTimeout(PATIENCE, reactor)

    async def resize(self, width: int, height: int, mobile: bool = False) -> None:
        """Give the page another size, as L{Browser.newTab}."""
        scale = 2 if mobile else 1
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}
        await self._command("Emulation.setDeviceMetricsOverride", **size)
        await self._command("Emulation.setTouchEmulationEnabled", enabled=mobile)
        await self._command("Emulation.setFocusEmulationEnabled", enabled=True)

    async def prefer(self, **features: str) -> None:
        """Media features of the reader, with C{_} for C{-}: C{prefers_color_scheme="dark"}."""
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        await self._command("Emulation.setEmulatedMedia", features=wanted)

    async def evaluate(self, script: str) -> Any:
        """
        @return: the value of an expression; of a promise, what it is resolved with.
        @raise BrowserError: it raised, or the promise was rejected.
        """
        answer = await self._command(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise BrowserError(_describe(answer["exceptionDetails"]))
        return answer["result"].get("value")

    async def waitFor(self, expression: str, timeout: float = 30.0) -> Any:
        """
        Wait, inside the page, until an expression is true.

        @param timeout: seconds.
        @return: its value.
        @raise BrowserError: it raised, or did not become true.
        """
        return await self.evaluate(_WAIT % (timeout * 1000, expression, json.dumps(expression)))

    async def type(self, selector: str, text: str) -> None:
        """Put text into a field at its cursor, as pasting does."""
        await self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
        await self._command("Input.insertText", text=text)

    async def press(self, key: str) -> None:
        """Press and release C{Enter}, C{Escape} or C{Tab}, wherever the focus is."""
        code, text = _KEYS[key]
        for kind in ("keyDown", "keyUp"):
            event = {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
            await self._command("Input.dispatchKeyEvent", **event, **({"text": text} if kind == "keyDown" else {}))

    async def click(self, selector: str) -> None:
        """
        Click into the middle of an element.

        @raise BrowserError: there is none, or something else lies over it.
        """
        name = json.dumps(selector)
        point = await self.evaluate(_CENTRE % (name, name, name))
        for kind in ("mousePressed", "mouseReleased"):
            await self._command("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **point)

    async def screenshot(self, path: str | os.PathLike[str]) -> None:
        """Write what is to be seen now into a PNG file."""
        answer = await self._command("Page.captureScreenshot", format="png")
        Path(path).write_bytes(b64decode(answer["data"]))

    async def freeze(self) -> None:
        """Nothing runs in the page from now on, as when it was long in the background: one in front is never frozen."""
        await self._command("Emulation.setFocusEmulationEnabled", enabled=False)
        await self._command("Page.setWebLifecycleState", state="frozen")

    async def thaw(self) -> None:
        """The page goes on."""
        await self._command("Page.setWebLifecycleState", state="active")
        await self._command("Emulation.setFocusEmulationEnabled", enabled=True)

    async def close(self) -> None:
        """Close it, as a user would. Does nothing if that is done."""
        if self._connection.listeners.pop(self._sessionId, None) is not None:
            await self._connection.command("Target.closeTarget", {"targetId": self._targetId})

    def _command(self, method: str, /, **params: Any) -> Deferred[dict[str, Any]]:
        return self._connection.command(method, params, self._sessionId)

    def _event(self, method: str, params: dict[str, Any]) -> None:
        if method == "Page.loadEventFired" and self._loaded is not None and not self._loaded.called:
            self._loaded.callback(None)
        elif method == "Runtime.consoleAPICalled":
            text = " ".join(str(each.get("value", each.get("description", ""))) for each in params["args"])
            self.console.append(ConsoleMessage(params["type"], text))
        elif method == "Runtime.exceptionThrown":
            self.console.append(ConsoleMessage("exception", _describe(params["exceptionDetails"])))
        elif method == "Log.entryAdded":
            self.console.append(ConsoleMessage(params["entry"]["source"], params["entry"]["text"]))


def _describe(details: dict[str, Any]) -> str:
    thrown = details.get("exception", {})
    return str(thrown.get("description") or thrown.get("value") or details["text"])
