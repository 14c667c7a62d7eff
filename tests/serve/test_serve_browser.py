"""In headless Chromium: what scripts do, also with names that strangers give."""

import shutil
import threading

import pytest
import uvicorn

from chinspect.serve import build_application, open_run
from chinspect.serve.server import _listening
from tests.serve._runs import COUNT, NAMES, write_run

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture
def address(tmp_path):
    with _listening(0) as listener:
        port = listener.getsockname()[1]
        config = uvicorn.Config(
            build_application(open_run(write_run(tmp_path / "run")), port), log_level="error", ws="none"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def page():
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
        browser.close()


def test_the_plane_is_used_by_keyboard_and_pointer_and_names_stay_text(page, address):
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.goto(f"{address}/plane")
    count = page.locator("#count")
    playwright.expect(count).to_have_text(f"{COUNT - 1} of {COUNT - 1} points in view")
    page.locator("#plane").focus()
    for _ in range(6):
        page.keyboard.press("+")
    playwright.expect(count).not_to_have_text(f"{COUNT - 1} of {COUNT - 1} points in view")
    page.keyboard.press("0")
    playwright.expect(count).to_have_text(f"{COUNT - 1} of {COUNT - 1} points in view")
    page.evaluate("mark([...points.image].indexOf(0))")  # the image whose name is a script
    playwright.expect(page.locator("#name")).to_have_text(NAMES[0])
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/images/0")
    slider = page.locator("#opacity")
    slider.focus()
    page.keyboard.press("Home")
    assert page.locator(".columns .map").evaluate("map => map.style.opacity") == "0"
    for path in ("/", "/images", "/images/2", "/candidates/1", "/made"):
        page.goto(address + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    assert said == []
