"""The status page in a real Chromium, as people meet it: small, dark, by keyboard, under attack."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

from exporter.simulator import Rule, Simulator, World
from exporter.simulator.app import Payload
from exporter.simulator.payload import LABELS
from tests.conftest import Configure
from tests.manual_clock import ManualClock
from tests.status.stage import Stage, staged

FLAGS = (
    "--no-sandbox",  # containers cannot nest one, and all it opens is ours
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)
HOSTILE = str(LABELS["markup"])
SIZES = {"phone": (360, 780), "desk": (1280, 860)}
SCHEMES = ("light", "dark")

pytestmark = pytest.mark.asyncio(loop_scope="module")

# What each text and each bar is written on, and how much it stands out from that (WCAG 2.2, 1.4.3
# and 1.4.11).
CONTRASTS = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
    const rgba = color => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = color => {
        const [r, g, b] = rgba(color).map(
            part => part <= 10.3 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = element => {
        for (; element; element = element.parentElement) {
            const color = getComputedStyle(element).backgroundColor;
            if (rgba(color)[3] == 255) return color;
        }
        return "Canvas";
    };
    const ratio = (one, other) => {
        const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    };
    const found = {};
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text; text = walker.nextNode();) {
        const element = text.parentElement;
        if (!text.data.trim()) continue;
        const color = getComputedStyle(element).color;
        found[`text: ${element.className} ${text.data.trim().slice(0, 20)}`] =
            ratio(color, ground(element)) / 4.5;
    }
    for (const input of document.querySelectorAll("input:not([type=hidden])")) {
        const color = getComputedStyle(input, "::placeholder").color;
        found["placeholder"] = ratio(color, ground(input)) / 4.5;
        const border = getComputedStyle(input).borderTopColor;
        found["border"] = ratio(border, ground(input.parentElement)) / 3;
    }
    for (const bar of document.querySelectorAll("rect"))
        found[`bar: ${bar.getAttribute("class")}`] =
            ratio(getComputedStyle(bar).fill, ground(bar.closest("section"))) / 3;
    return found;
}"""

# Which bars are not as long as their number says, within a pixel.
WRONG_BARS = """() => [...document.querySelectorAll("tr:has(rect)")].filter(row => {
    const [rect, svg] = [row.querySelector("rect"), row.querySelector("svg")];
    const told = parseFloat(row.querySelector("td:nth-last-child(2)").textContent) / 100;
    const [part, whole] = [rect, svg].map(each => each.getBoundingClientRect().width);
    return svg.closest("section").classList.contains("places") && Math.abs(part - whole * told) > 1;
}).map(row => row.textContent)"""

# Tries what an injected name would, and tells which of it the policy stopped.
ATTACK = """async () => {
    const stopped = [];
    document.addEventListener(
        "securitypolicyviolation", event => stopped.push(event.effectiveDirective));
    const add = (name, members) =>
        document.body.append(Object.assign(document.createElement(name), members));
    add("script", {textContent: "window.taken = 1"});
    add("style", {textContent: "body { display: none }"});
    add("img", {src: "/-/healthy"});
    add("iframe", {src: "/"});
    document.body.setAttribute("style", "display: none");
    add("base", {href: "http://attacker.invalid/"});
    const form = document.createElement("form");
    form.action = "http://attacker.invalid/";
    document.body.append(form);
    form.submit();
    await fetch("/").catch(() => {});
    await new Promise(resolve => setTimeout(resolve, 200));
    return [window.taken, getComputedStyle(document.body).display, [...new Set(stopped)].sort()];
}"""


@dataclass
class Seen:
    """What the browser did and said.

    Attributes:
        page: in its tab.
        requests: what it wanted, also where its policy stopped it.
        answers: what it got.
        complaints: errors, warnings, dialogs and violations of the policy.
    """

    page: Page
    requests: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    chromium = await asyncio.to_thread(shutil.which, "chromium")
    assert chromium, "tests/install-chromium installs it"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium,
            args=FLAGS,
            ignore_default_args=["--hide-scrollbars"],  # they take room, and people see them
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def simulator(clock: ManualClock) -> AsyncIterator[Simulator]:
    async with Simulator(World(servers=400), clock.simulated) as simulator:
        yield simulator


@pytest_asyncio.fixture(loop_scope="module")
async def stage(configure: Configure, clock: ManualClock) -> AsyncIterator[Stage]:
    """Its first servers are called by a name that is markup."""
    async with staged(configure(), clock) as stage:
        yield stage


@asynccontextmanager
async def opened(
    browser: Browser, url: str, *, size: str = "phone", scheme: str = "light", script: bool = True
) -> AsyncIterator[Seen]:
    """A tab that shows the page; afterwards all it asked for has to be ours."""
    width, height = SIZES[size]
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        is_mobile=size == "phone",
        java_script_enabled=script,
    )
    context.set_default_timeout(10_000)
    page = await context.new_page()
    seen = Seen(page)

    def note(message: ConsoleMessage) -> None:
        seen.complaints.append(message.text)

    def ask(request: Request) -> None:
        seen.requests.append(request.url)

    page.on("console", note)
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("dialog", lambda dialog: seen.complaints.append(dialog.message))
    page.on("request", ask)
    page.on("response", lambda response: seen.answers.append(response.url))
    await page.goto(url)
    yield seen
    await context.close()


async def live(stage: Stage, simulator: Simulator, clock: ManualClock) -> None:
    """A bad day: names that are markup, an error that is, and every colour."""
    simulator.rules = (Rule("servers", "label", "markup"), Rule("usage", "label", "markup"))
    simulator.rewrite = fill
    await stage.poll()
    simulator.rules = ()
    simulator.rewrite = refuse
    clock.advance(30)
    await stage.poll("usage")
    await stage.poll("usage")
    stage.plan(stage.pollers["default", "usage"], backoff_until=clock.now())


def fill(endpoint: str, payload: Payload) -> Payload:
    """Lets some servers be as full as it takes to see each colour."""
    listed = payload.get("server")
    if endpoint == "usage" or not isinstance(listed, dict):
        return payload
    ratios = dict(zip(sorted(listed), (100, 96, 90, 86, 0), strict=False))
    return {
        **payload,
        "server": {
            name: {**server, "capacity": ratios.get(name, server["capacity"])}
            for name, server in listed.items()
        },
    }


def refuse(endpoint: str, payload: Payload) -> Payload:
    del endpoint, payload
    return {"api_status": 0, "error": HOSTILE}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES)
async def test_it_can_be_read(
    size: str,
    scheme: str,
    browser: Browser,
    stage: Stage,
    simulator: Simulator,
    clock: ManualClock,
) -> None:
    """On a phone and a desk, by day and by night: nothing is cut off, and all of it stands out."""
    await live(stage, simulator, clock)
    async with opened(browser, stage.url, size=size, scheme=scheme) as seen:
        assert SIZES[size][0] >= await seen.page.evaluate("document.documentElement.scrollWidth")
        over = await seen.page.evaluate(
            "[...document.querySelectorAll('section')]"
            ".filter(each => each.scrollWidth > each.clientWidth).map(each => each.id)"
        )
        assert [] == over
        contrasts = await seen.page.evaluate(CONTRASTS)
        assert {"bar: free", "bar: filling", "bar: full", "bar: plain"} <= contrasts.keys()
        assert {} == {what: ratio for what, ratio in contrasts.items() if ratio < 1}
        assert [] == await seen.page.evaluate(WRONG_BARS)
        family = await seen.page.evaluate("getComputedStyle(document.body).fontVariantNumeric")
        assert "tabular-nums" == family
        assert ([f"{stage.url}/"], []) == (seen.requests, seen.complaints)


async def test_hostile_names_are_text(browser: Browser, stage: Stage, simulator: Simulator) -> None:
    """Every name that the simulator knows to be bad is shown, and nothing of it happens."""
    servers = {
        f"{label}-{number}": {"country": label, "city": label, "capacity": 99, "ip": "::1"}
        for number, label in enumerate(str(label) for label in LABELS.values())
    }
    simulator.rewrite = lambda endpoint, payload: (
        {**payload, "server": servers} if endpoint == "servers" else refuse(endpoint, payload)
    )
    await stage.poll()
    async with opened(browser, stage.url) as seen:
        text = await seen.page.text_content("body") or ""
        assert f"{HOSTILE}-4" in text
        assert f"(api_status is not 1): {HOSTILE}" in text
        assert 0 == await seen.page.locator("script, img, style:not(head style)").count()
        assert ([f"{stage.url}/"], []) == (seen.requests, seen.complaints)


async def test_the_policy_holds(browser: Browser, stage: Stage) -> None:
    """If a name got through as markup after all, the browser would do nothing about it."""
    await stage.poll()
    async with opened(browser, stage.url) as seen:
        taken, display, stopped = await seen.page.evaluate(ATTACK)
        assert (None, "block") == (taken, display)
        assert {
            "base-uri",
            "connect-src",
            "form-action",
            "frame-src",
            "img-src",
            "script-src-elem",
            "style-src-attr",
            "style-src-elem",
        } == set(stopped)
        assert [f"{stage.url}/"] == seen.answers


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
async def test_the_filter_works_by_keyboard(
    *, script: bool, browser: Browser, stage: Stage
) -> None:
    """Tab, a word, Enter; then the way back. No script is needed, and the focus can be seen."""
    await stage.poll()
    async with opened(browser, stage.url, script=script) as seen:
        page = seen.page
        box = page.get_by_role("searchbox", name="Filter")
        for _ in range(20):
            await page.keyboard.press("Tab")
            if await box.evaluate("each => each == document.activeElement"):
                break
        assert "solid" == await box.evaluate("each => getComputedStyle(each).outlineStyle")
        await page.keyboard.type("par")
        async with page.expect_navigation():
            await page.keyboard.press("Enter")
        assert f"{stage.url}/?filter=par" == page.url
        assert "par" == await box.input_value()
        rows = page.locator("#pops-1 tbody th")
        assert ["par Paris, FR"] == [" ".join(row.split()) for row in await rows.all_inner_texts()]
        async with page.expect_navigation():
            await page.get_by_role("link", name="Show all").press("Enter")
        assert f"{stage.url}/?" == page.url
        assert 10 < await rows.count()
        assert [] == seen.complaints


async def test_loading_anew_keeps_the_filter(browser: Browser, stage: Stage) -> None:
    """The browser asks for the same address, and the switch and the form keep the other's part."""
    async with opened(browser, f"{stage.url}/?filter=par", script=False) as seen:
        page = seen.page
        assert 0 == await page.locator("#pops-1").count()
        await stage.poll()
        async with page.expect_navigation(timeout=10_000):
            pass  # it loads itself anew while it is starting
        assert (f"{stage.url}/?filter=par", 1) == (page.url, await page.locator("#pops-1").count())
        assert 0 == await page.locator("meta[http-equiv]").count()
        async with page.expect_navigation():
            await page.get_by_role("link", name="refresh every 30 s").click()
        assert f"{stage.url}/?refresh=on&filter=par" == page.url
        assert "30" == await page.locator("meta[http-equiv=refresh]").get_attribute("content")
        await page.get_by_role("searchbox", name="Filter").fill("lon")
        async with page.expect_navigation():
            await page.get_by_role("button", name="Show").click()
        assert f"{stage.url}/?filter=lon&refresh=on" == page.url
        async with page.expect_navigation():
            await page.get_by_role("link", name="stop").click()
        assert f"{stage.url}/?filter=lon" == page.url
        assert [] == seen.complaints


async def test_it_can_be_heard(browser: Browser, stage: Stage) -> None:
    """To a screen reader it is a page in English with named tables, headings and one main part."""
    await stage.poll()
    async with opened(browser, stage.url) as seen:
        page = seen.page
        assert "en" == await page.locator("html").get_attribute("lang")
        assert "All collectors are fine. wlvpn-exporter" == await page.title()
        tree = await page.locator("body").aria_snapshot()
        for part in (
            '- heading "wlvpn-exporter" [level=1]',
            "- main:",
            '- table "Collectors":',
            '- columnheader "Next poll"',
            "- rowheader",
            '- table "Recent polls failures are kept longer":',
            '- searchbox "Filter"',
            '- button "Show"',
            '- table "Countries',
            '- table "POPs',
            '- table "Servers 20 of 400, fullest first":',
            '- table "Bandwidth',
            '- region "POPs"',
        ):
            assert part in tree
        assert "img" not in tree
        assert [] == await unnamed(page)


async def unnamed(page: Page) -> Sequence[str]:
    """Tables without a caption, headers without a scope, fields without a label, ids twice."""
    found: list[str] = await page.evaluate(
        "[...[...document.querySelectorAll('table')].filter(each => !each.caption),"
        "...document.querySelectorAll('th:not([scope])'),"
        "...[...document.querySelectorAll('input:not([type=hidden])')]"
        ".filter(each => !each.labels.length),"
        "...[...document.querySelectorAll('[id]')]"
        ".filter(each => document.querySelectorAll('#' + each.id).length > 1)"
        "].map(each => each.outerHTML)"
    )
    return found
