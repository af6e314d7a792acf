"""
The chat example as people meet it: the real server, and its page in a real browser.

With C{CROSSWS_SCREENSHOTS=folder} in the environment it also takes the pictures that the documentation shows.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_twisted

from tests.integration.chromium import Browser, Tab, needsChromium
from tests.integration.process import NodeProcess, startNode

pytestmark = [pytest.mark.integration, needsChromium]

CONFIG = Path(__file__).parents[2] / "examples" / "chat" / "crossws.toml"

PICTURES = os.environ.get("CROSSWS_SCREENSHOTS", "")

#: What is pasted into every field that shows up on other people's screens.
MARKUP = "<img src=x onerror=boom()>"


@pytest_twisted.async_yield_fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    browser = await Browser.start()
    yield browser
    await browser.stop()


@pytest_twisted.async_yield_fixture
async def chat() -> AsyncIterator[NodeProcess]:
    """A server with the chat on it."""
    node = await startNode(CONFIG)
    yield node
    await node.stop()


class Person:
    """Somebody at a page of the chat."""

    def __init__(self, name: str, tab: Tab) -> None:
        self.name = name
        self.tab = tab

    async def enter(self) -> None:
        await self.tab.type("#name", self.name)
        await self.tab.press("Enter")

    async def say(self, text: str) -> None:
        await self.tab.type("#text", text)
        await self.tab.press("Enter")

    async def seesConnected(self) -> None:
        await self.tab.waitFor("document.querySelector('#signal').dataset.state === 'open'", timeout=20.0)

    async def seesHere(self, *names: str) -> None:
        """Exactly these are here, in this order."""
        await self._sees("#people-list .name", list(names))

    async def seesRooms(self, *rooms: str) -> None:
        """These rooms are open, in this order."""
        await self._sees("#room-list .name", list(rooms))

    async def seesSaid(self, *texts: str) -> None:
        """These messages, all of them, are in the room, in this order."""
        await self._sees("#messages .words", list(texts))

    async def seesNote(self, text: str) -> None:
        """The room was told something."""
        await self.tab.waitFor(f"{_textsOf('#messages .note')}.includes({json.dumps(text)})")

    async def seesDelivered(self, count: int) -> None:
        """That many own messages have their mark, and none is without."""
        await self.tab.waitFor(
            f"document.querySelectorAll('.mine .mark[title=Delivered]').length === {count}"
            f" && document.querySelectorAll('.mine').length === {count}"
        )

    async def _sees(self, selector: str, texts: list[str]) -> None:
        await self.tab.waitFor(f"JSON.stringify({_textsOf(selector)}) === JSON.stringify({json.dumps(texts)})")


def _textsOf(selector: str) -> str:
    return f"Array.from(document.querySelectorAll({json.dumps(selector)}), (each) => each.textContent)"


def pageOf(chat: NodeProcess) -> str:
    return f"http://127.0.0.1:{chat.port}/"


Arrive = Callable[..., Awaitable[Person]]


@pytest_twisted.async_yield_fixture
async def arrive(browser: Browser, chat: NodeProcess) -> AsyncIterator[Arrive]:
    """Somebody opens the page of a room, and chooses a name. At the end everybody who is still there closes it."""
    people: list[Person] = []

    async def arrive(name: str, room: str = "lobby", *, mobile: bool = False) -> Person:
        width, height = (390, 844) if mobile else (1280, 800)
        tab = await browser.newTab(f"{pageOf(chat)}?retry=300&ping=150#{room}", width, height, mobile)
        people.append(Person(name, tab))
        await people[-1].enter()
        return people[-1]

    yield arrive
    for person in people:
        await person.tab.close()


@pytest_twisted.ensureDeferred
async def test_conversation(arrive: Arrive) -> None:
    """
    Two people in one room see each other, and what the other says; what they say themselves gets its mark when the
    server has it; who closes the page is gone for the other.
    """
    mira = await arrive("Mira")
    jonas = await arrive("Jonas", mobile=True)
    await mira.seesHere("Jonas", "Mira")
    await jonas.seesHere("Jonas", "Mira")
    await mira.seesNote("Jonas came in")
    await mira.say("Who is on the early train?")
    await mira.seesDelivered(1)
    await jonas.seesSaid("Who is on the early train?")
    await jonas.say("Me.")
    await jonas.seesDelivered(1)
    await mira.seesSaid("Who is on the early train?", "Me.")
    await mira.tab.waitFor("/^[0-9.]+ ms$/.test(document.querySelector('#latency').textContent)")
    await jonas.tab.close()
    await mira.seesHere("Mira")
    await mira.seesNote("Jonas left")
    assert (mira.tab.console, jonas.tab.console) == ([], [])


@pytest_twisted.ensureDeferred
async def test_awayAndBack(arrive: Arrive) -> None:
    """Who goes to another page is gone, even if the browser keeps this one; who comes back is here again."""
    mira = await arrive("Mira")
    jonas = await arrive("Jonas")
    await mira.seesHere("Jonas", "Mira")
    await jonas.tab.open("about:blank")
    await mira.seesHere("Mira")
    await jonas.tab.evaluate("void setTimeout(() => history.back())")
    await mira.seesHere("Jonas", "Mira")
    await mira.say("Welcome back.")
    await jonas.seesSaid("Welcome back.")
    assert (mira.tab.console, jonas.tab.console) == ([], [])


@pytest_twisted.ensureDeferred
async def test_rooms(arrive: Arrive) -> None:
    """A room is opened by its name; what is said there stays there, and whoever comes later sees what was said."""
    mira = await arrive("Mira")
    jonas = await arrive("Jonas")
    await mira.tab.type("#new-room", "night train")
    await mira.tab.press("Enter")
    await mira.seesHere("Mira")
    await jonas.seesHere("Jonas")
    await jonas.seesRooms("lobby", "night train")
    await mira.say("Quiet in here.")
    await mira.seesDelivered(1)
    await jonas.say("Where is everybody?")
    await jonas.seesSaid("Where is everybody?")
    await jonas.tab.click("#room-list li:last-child button")
    await jonas.seesSaid("Quiet in here.")
    await mira.seesHere("Jonas", "Mira")
    assert (mira.tab.console, jonas.tab.console) == ([], [])


@pytest_twisted.ensureDeferred
async def test_names(arrive: Arrive, chat: NodeProcess) -> None:
    """
    A name belongs to one page; another one is told so and may choose again, and who opens the page
    again in the same tab has it still.
    """
    mira = await arrive("Mira")
    await mira.seesHere("Mira")
    other = await arrive("Mira")
    await other.tab.waitFor("document.querySelector('#problem').textContent.includes('called Mira already')")
    await mira.seesHere("Mira")
    other.name = " Too"
    await other.enter()
    await mira.seesHere("Mira", "Mira Too")
    await mira.tab.open(pageOf(chat))
    await mira.seesHere("Mira", "Mira Too")
    assert (mira.tab.console, other.tab.console) == ([], [])


@pytest_twisted.ensureDeferred
async def test_duplicatedTab(arrive: Arrive, chat: NodeProcess) -> None:
    """A copy of a tab takes its name over, and the first one says so; there the name can be taken back."""
    mira = await arrive("Mira")
    await mira.seesHere("Mira")
    copy = await arrive("Somebody")
    await mira.seesHere("Mira", "Somebody")
    memory = await mira.tab.evaluate("JSON.stringify(sessionStorage)")
    await copy.tab.evaluate(f"void Object.assign(sessionStorage, {memory})")
    await copy.tab.open(pageOf(chat))
    await copy.seesHere("Mira")
    await mira.tab.waitFor("document.querySelector('#banner').textContent.includes('in use in another tab')")
    await mira.tab.click("#retry-now")
    await mira.seesConnected()
    await copy.tab.waitFor("document.querySelector('#signal').dataset.state === 'over'")
    assert (mira.tab.console, copy.tab.console) == ([], [])


@pytest_twisted.ensureDeferred
async def test_markup(arrive: Arrive) -> None:
    """What people write is text, wherever it is shown: it is never markup."""
    mira = await arrive("Mira", "lobby")
    mallory = await arrive(MARKUP, "lobby")
    await mira.seesHere(MARKUP, "Mira")
    await mallory.say(MARKUP)
    await mira.seesSaid(MARKUP)
    await mira.seesNote(f"{MARKUP} came in")
    await mallory.tab.type("#new-room", MARKUP)
    await mallory.tab.press("Enter")
    await mira.seesRooms(MARKUP, "lobby")
    await mallory.tab.waitFor(f"document.querySelector('#room-name').textContent === {json.dumps(MARKUP)}")
    for person in (mira, mallory):
        assert await person.tab.evaluate("document.images.length") == 0
        assert person.tab.console == []


@pytest_twisted.ensureDeferred
async def test_reconnect(arrive: Arrive, chat: NodeProcess) -> None:
    """
    When the server dies, the page says so; what is said meanwhile is marked, and delivered when the server is back:
    everybody comes back by themselves, with name and room.
    """
    mira = await arrive("Mira", "kitchen")
    jonas = await arrive("Jonas", "kitchen")
    await mira.seesHere("Jonas", "Mira")
    await jonas.seesHere("Jonas", "Mira")
    await chat.kill()
    for person in (mira, jonas):
        await person.tab.waitFor("!document.querySelector('#banner').hidden")
        assert "The connection is lost." in await person.tab.evaluate("document.querySelector('#banner').textContent")
    await mira.say("Anybody there?")
    await mira.tab.waitFor("document.querySelector('.mine .failure button')")
    again = await startNode(CONFIG, port=chat.port)
    try:
        for person in (mira, jonas):
            await person.seesConnected()
            await person.seesHere("Jonas", "Mira")
        await mira.seesDelivered(1)
        await jonas.say("Yes, back again.")
        await mira.seesSaid("Anybody there?", "Yes, back again.")
        await jonas.seesSaid("Anybody there?", "Yes, back again.")
        assert await mira.tab.evaluate("document.querySelector('#banner').hidden")
        assert {message.kind for message in mira.tab.console + jonas.tab.console} <= {"network", "warning"}
    finally:
        await again.stop()


@pytest_twisted.ensureDeferred
async def test_scrolling(arrive: Arrive) -> None:
    """The newest message is in view, unless the reader has scrolled up: then it waits behind a button."""
    mira = await arrive("Mira", mobile=True)
    jonas = await arrive("Jonas")
    gap = "(({scrollHeight, scrollTop, clientHeight}) => scrollHeight - scrollTop - clientHeight)"
    toEnd = f"{gap}(document.querySelector('#scroller'))"
    for number in range(30):
        await jonas.say(f"Stop {number}")
    await jonas.seesDelivered(30)
    await mira.tab.waitFor(f"document.querySelectorAll('.theirs').length === 30 && {toEnd} < 2")
    await mira.tab.evaluate("void (document.querySelector('#scroller').scrollTop = 0)")
    await mira.tab.waitFor("!document.querySelector('#newer').hidden")
    await jonas.say("All change, please.")
    await mira.tab.waitFor("document.querySelector('#newer').textContent.trim() === '1 new message'")
    assert await mira.tab.evaluate("document.querySelector('#scroller').scrollTop") == 0
    await mira.tab.click("#newer")
    await mira.tab.waitFor(f"{toEnd} < 2 && document.querySelector('#newer').hidden")
    assert (mira.tab.console, jonas.tab.console) == ([], [])


@pytest.mark.skipif(not PICTURES, reason="takes the pictures of the documentation: set CROSSWS_SCREENSHOTS=folder")
@pytest_twisted.ensureDeferred
async def test_pictures(arrive: Arrive) -> None:
    """Pictures of a page that shows all that the chat can do."""
    mira = await arrive("Mira Lund")
    jonas = await arrive("Jonas", mobile=True)
    noor = await arrive("Noor")
    for name, room in (("Priya", "kitchen"), ("Ivo", "night train"), ("Sam", "night train")):
        await arrive(name, room)
    await mira.seesRooms("kitchen", "lobby", "night train")
    for person, text in (
        (mira, "Good morning. Who is on the early train on Thursday?"),
        (jonas, "Me. 6:42 from platform 3."),
        (jonas, "I have the big suitcase, so let us meet at the lift."),
        (noor, "I join you in Aarhus, coach 21."),
        (mira, "Perfect. I book three seats."),
        (jonas, "Best news of the day."),
        (noor, "We have only eight minutes to change in Hamburg. If we miss it, the next one goes at 13:15."),
        (mira, "Eight minutes are plenty, if nobody stops for a Franzbrötchen."),
        (jonas, "No promises."),
    ):
        await person.say(text)
        for reader in (mira, jonas, noor):
            await reader.tab.waitFor(f"{_textsOf('#messages .words')}.at(-1) === {json.dumps(text)}")
    for person in (mira, jonas):
        await person.tab.waitFor("document.querySelector('#latencies .bars').getAttribute('d').split('M').length > 24")
    folder = Path(PICTURES)
    await mira.tab.screenshot(folder / "chat.png")
    await jonas.tab.screenshot(folder / "chat-phone.png")
