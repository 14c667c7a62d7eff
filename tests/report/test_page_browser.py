"""The page as people use it, in a headless Chromium, under the strictest policy that it says it works under."""

import shutil
import subprocess
import tarfile

import pytest

from chinspect.report import page_html
from tests.report.pages import GROUPED, HOSTILE, PLANTED, POINTS, example_page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
ADDRESS = "http://report.test/report.html"
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
AXE = "axe-core@4.14.1"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser is installed, neither of {', '.join(NAMES)}: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def document():
    return page_html(example_page())


class Desk:
    """Pages of a browser, and all that they complain about."""

    def __init__(self, browser, document):
        self.browser = browser
        self.document = document
        self.complaints = []
        self.requests = []
        self.pages = []

    def open(self, **options):
        context = self.browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        context.add_init_script(
            "window.violations = []; document.addEventListener('securitypolicyviolation',"
            " (event) => violations.push(event.violatedDirective + ' ' + event.blockedURI));"
        )
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append("a dialog"))
        page.on("request", lambda request: self.requests.append(request.url))
        headers = {"Content-Security-Policy": POLICY, "Content-Type": "text/html; charset=utf-8"}
        page.route("**/*", lambda route: route.fulfill(body=self.document, headers=headers))
        page.goto(ADDRESS)
        page.wait_for_function("document.querySelectorAll('.chart .main-svg').length > 1")
        self.pages.append(page)
        return page

    def check(self):
        violations = [one for page in self.pages for one in page.evaluate("violations")]
        assert not self.complaints + violations
        assert {url for url in self.requests if not url.startswith("data:")} <= {ADDRESS}


@pytest.fixture(scope="module")
def desk(browser, document):
    return Desk(browser, document)


@pytest.fixture(scope="module")
def common(desk):
    """One page for all tests that leave it as it was: opening one takes a second."""
    return desk.open()


@pytest.fixture
def page(common, desk):
    yield common
    common.mouse.move(1, 1)
    desk.check()


def coloured(page, side, grid):
    """The patches in whose middle the overlay of a viewer's image has a colour."""
    cells = page.evaluate(
        "([side, grid]) => { const canvas = document.querySelectorAll('.frame canvas')[side];"
        " const copy = document.createElement('canvas'); [copy.width, copy.height] = [canvas.width, canvas.height];"
        " const context = copy.getContext('2d', {willReadFrequently: true}); context.drawImage(canvas, 0, 0);"
        " const data = context.getImageData(0, 0, copy.width, copy.height).data;"
        " const at = (cell, size) => Math.floor((cell + 0.5) * size / grid); const found = [];"
        " for (let r = 0; r < grid; r++) for (let c = 0; c < grid; c++)"
        " if (data[4 * (at(r, canvas.height) * canvas.width + at(c, canvas.width)) + 3]) found.push([r, c]);"
        " return found; }",
        [side, grid],
    )
    return {tuple(cell) for cell in cells}


def test_a_patch_under_the_pointer_lights_up_its_matches_in_the_other_image(page):
    answer = page.locator(".pair .answer")
    assert "2 of 400 pairs" in answer.text_content()
    page.locator(".frame").nth(0).scroll_into_view_if_needed()
    box = page.locator(".frame").nth(0).bounding_box()
    row, column = PLANTED[0]
    page.mouse.move(box["x"] + (column + 0.5) / 4 * box["width"], box["y"] + (row + 0.5) / 4 * box["height"])
    assert "left image's patch in row 2, column 3" in answer.text_content()
    assert "row 4, column 1, +133 %. 1 match is shown" in answer.text_content()
    assert coloured(page, 1, 5) == {PLANTED[1]}
    box = page.locator(".frame").nth(1).bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    assert "lower" not in answer.text_content()
    assert "row 1, column 1, -33 %" in answer.text_content()
    assert coloured(page, 0, 4) == {(0, 0)}
    page.mouse.move(1, 1)
    assert "2 of 400 pairs" in answer.text_content()


def test_the_slider_hides_weak_pairs_and_the_list_shows_one_band(page):
    answer = page.locator(".pair .answer")
    slider = page.locator(".strength")
    slider.focus()
    for _ in range(25):
        slider.press("ArrowRight")
    assert page.locator(".pair output").text_content() == "30 %"
    assert "1 of 400 pairs" in answer.text_content()
    assert coloured(page, 0, 4) == {PLANTED[0]}
    page.locator(".band").select_option("1")
    assert coloured(page, 0, 4) == {(PLANTED[0][0], PLANTED[0][1] + 1)}
    page.locator(".band").select_option("0")
    slider.press("Home")


def test_the_viewer_works_with_the_keyboard_alone(page):
    answer = page.locator(".pair .answer")
    page.locator(".strength").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    assert "row 1, column 2" in answer.text_content()
    for _ in range(9):
        page.keyboard.press("ArrowRight")
    assert "row 1, column 4" in answer.text_content()
    page.keyboard.press("Enter")
    assert "the patch is held" in answer.text_content()
    page.keyboard.press("Tab")
    assert "row 1, column 4" in answer.text_content()
    page.keyboard.press("Escape")
    assert "2 of 400 pairs" in answer.text_content()


def test_a_lasso_lists_names_and_they_can_be_copied(page):
    page.locator(".scatter .chart").scroll_into_view_if_needed()
    box = page.locator(".scatter .chart .nsewdrag").bounding_box()
    left, top, width, height = box["x"], box["y"], box["width"], box["height"]
    corners = [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.02)]
    page.mouse.move(left + corners[0][0] * width, top + corners[0][1] * height)
    page.mouse.down()
    for x, y in corners[1:]:
        page.mouse.move(left + x * width, top + y * height, steps=5)
    page.mouse.up()
    page.locator(".members").wait_for(state="visible")
    names = page.locator(".members textarea").input_value().split("\n")
    assert len(names) == POINTS
    assert {HOSTILE[0], HOSTILE[4], "image 20.png"} <= set(names)
    page.locator(".copy").click()
    assert page.locator(".members .answer").text_content() == f"Copied {POINTS} names."
    page.locator(".members .close").click()


def test_a_point_shows_its_image_and_a_group_its_members(page):
    page.locator(".scatter .chart").scroll_into_view_if_needed()
    point = page.locator(".scatter .trace").nth(1).locator(".point").first.bounding_box()
    page.mouse.move(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    hovered = page.locator(".hovered")
    hovered.wait_for(state="visible")
    assert HOSTILE[4] in hovered.text_content()
    assert "data:image/jpeg" in page.evaluate(
        "getComputedStyle(document.querySelector('.hovered .seen')).backgroundImage"
    )
    page.locator(".scatter .legend button").first.press("Enter")
    assert page.locator(".members h3").text_content() == f"{HOSTILE[4]}: {GROUPED} images"
    assert page.locator(".members .tile").count() == GROUPED
    assert page.evaluate("document.activeElement.className") == "members"
    page.locator(".members .close").click()
    assert page.locator(".members").is_hidden()


def test_maps_can_be_taken_away(page):
    layer = page.locator(".gallery .map").first
    assert layer.is_visible()
    page.locator(".gallery .maps-switch").uncheck()
    assert not layer.is_visible()
    page.locator(".gallery .maps-switch").check()


def test_names_from_strangers_stay_text(page):
    assert page.title().startswith("confirmed: Photographs </script>")
    assert page.locator("img[src='x'], svg[onload], main b, iframe").count() == 0
    shown = page.locator("body").inner_text()
    for name in (HOSTILE[0], HOSTILE[3], HOSTILE[4], HOSTILE[6]):
        assert name in shown
    assert page.evaluate("document.querySelectorAll('.chart a[href]').length") == 0


def test_colours_follow_the_system_and_the_switch(page):
    colour = "getComputedStyle(document.body).backgroundColor"
    colours = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(colour) == colours[scheme]
    for name in ("light", "dark"):
        page.locator("#theme").click()
        assert page.evaluate(colour) == colours[name]
        ink = page.evaluate("getComputedStyle(document.querySelector('.histogram .xtick text')).fill")
        assert ink == {"light": "rgb(27, 31, 35)", "dark": "rgb(233, 236, 239)"}[name]
    page.emulate_media(media="print")
    assert page.evaluate(colour) == colours["light"]
    page.emulate_media(media="screen")
    page.locator("#theme").click()


def test_a_phone_scrolls_in_one_direction_only(desk):
    page = desk.open(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.locator(".frame").nth(0).tap()
    assert "the patch is held" in page.locator(".pair .answer").text_content()
    page.emulate_media(media="print", reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    desk.check()


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The text of axe-core, which is fetched and not held here: its licence is MPL-2.0, and it is large."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed, which axe-core is fetched by")
    folder = tmp_path_factory.mktemp("axe")
    try:
        command = [npm, "pack", AXE, "--silent"]
        packed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=60)
    except (subprocess.SubprocessError, OSError):
        pytest.skip(f"{AXE} cannot be fetched by npm here")
    with tarfile.open(folder / packed.stdout.strip()) as archive:
        return archive.extractfile("package/axe.min.js").read().decode("utf-8")


def test_axe_finds_nothing_serious(page, axe):
    page.locator(".scatter .legend button").first.click()
    page.evaluate(axe)
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        assert not [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
    page.locator(".members .close").click()
