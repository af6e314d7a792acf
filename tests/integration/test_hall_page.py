"""
The workers example as people meet it: its page in a real browser, in tabs that different processes serve.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_twisted

from tests.integration.chromium import Browser, needsChromium
from tests.integration.machine import Machine, copy
from tests.integration.process import freePort

pytestmark = [pytest.mark.integration, pytest.mark.fates, needsChromium]

PICTURES = os.environ.get("CROSSWS_SCREENSHOTS", "")


@pytest_twisted.async_yield_fixture
async def browser(processes: None) -> AsyncIterator[Browser]:
    browser = await Browser.start()
    yield browser
    await browser.stop()


@pytest_twisted.ensureDeferred
async def test_page(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tabs at two processes hear each other, and come back by themselves when their processes are restarted."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    port = freePort()
    copy("workers", "crossws.toml", "hall.py", "static", to=tmp_path)
    text = (tmp_path / "crossws.toml").read_text().replace("tcp:9000", f"tcp:{port}:interface=127.0.0.1")
    machine = Machine(tmp_path, text.replace("count = 4", "count = 2"))
    try:
        await machine.start(count=2)
        tabs = [await browser.newTab(f"http://127.0.0.1:{port}/", 700, 500) for _ in range(2)]
        for tab in tabs:
            await tab.waitFor("document.querySelector('#who').textContent.startsWith('You are')")
        who = [await tab.evaluate("document.querySelector('#who').textContent") for tab in tabs]
        assert sorted("hall.1" in each for each in who) == [False, True]
        await tabs[0].type("#text", "Is <b>anybody</b> there?")
        await tabs[0].press("Enter")
        for tab in tabs:
            await tab.waitFor("document.querySelectorAll('#said li').length === 1")
            assert await tab.evaluate(
                "document.querySelector('#said li').textContent.endsWith('Is <b>anybody</b> there?')"
            )
        assert (await machine.ctl("restart"))[0] == 0
        for tab in tabs:
            await tab.waitFor("document.querySelector('#who').textContent.startsWith('You are')")
        await tabs[1].type("#text", "Here again.")
        await tabs[1].press("Enter")
        for tab in tabs:
            await tab.waitFor("document.querySelector('#said').textContent.includes('Here again.')")
        if PICTURES:
            await tabs[0].screenshot(Path(PICTURES) / "hall.png")
    finally:
        await machine.close()
