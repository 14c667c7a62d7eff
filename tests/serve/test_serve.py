import re
from collections import deque

import numpy as np
import pandas as pd
import pytest
from starlette.testclient import TestClient

from chinspect.execute import Store
from chinspect.serve import build_application, open_run
from chinspect.serve.query import PAGE
from chinspect.similarity import SimilarityIndex
from tests.serve._runs import COPY, COUNT, DAMAGED, MEMBERS, MISSING, NAMES, PORT, SCRIPT, write_audit, write_run


def client_of(folder):
    return TestClient(build_application(open_run(folder), PORT), base_url=f"http://127.0.0.1:{PORT}")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("serve") / "run")


@pytest.fixture(scope="module")
def client(home):
    return client_of(home)


def numbers(page):
    """The images of a gallery, in its order."""
    return [int(number) for number in re.findall(r'<li><a href="/images/(\d+)"', page.text)]


def test_the_verdict_comes_first_and_every_link_of_every_page_leads_somewhere(client):
    first = client.get("/")
    assert first.text.index("Candidate") < first.text.index("<h2>")
    assert "1 of 9 sets of alike maps is flagged." in first.text
    waiting = deque(["/"])
    seen = set()
    while waiting and len(seen) < 120:
        address = waiting.popleft()
        if address in seen:
            continue
        seen.add(address)
        answer = client.get(address)
        assert answer.status_code == 200, address
        if answer.headers["content-type"].startswith("text/html"):
            links = re.findall(r'(?:href|src|data-points)="(/[^"]*)"', answer.text)
            waiting += [link.replace("&amp;", "&") for link in links]
    kinds = {re.split(r"[/?]", address)[1] for address in seen}
    assert kinds == {"", "images", "candidates", "plane", "made", "pictures", "maps", "figures", "static"}


def test_pages_hold_every_image_once_in_order(client):
    pages = [numbers(client.get(f"/images?page={page}")) for page in range(1, -(-COUNT // PAGE) + 1)]
    assert [number for page in pages for number in page] == list(range(COUNT))


@pytest.mark.parametrize("page", [0, 4, 999_999_999])
def test_there_is_no_page_beyond_the_last(client, page):
    answer = client.get(f"/images?page={page}")
    assert answer.status_code == 404
    assert f"There is no page {page}: these images fill 3." in answer.text


def test_filters_select_what_they_say(client):
    def selected(query):
        return numbers(client.get(f"/images?{query}"))

    assert selected("candidate=1") == list(MEMBERS)
    assert selected("state=duplicate") == [COPY]
    assert selected("name=IMAGE 11&label=dog") == [i for i in (11, *range(110, 120)) if i % 3 == 0]
    assert selected("name=onerror") == [0]
    assert selected("name=.*") == []
    assert selected("cluster=kmeans-4:-1") == [10]
    assert selected("cluster=kmeans-4:2&page=1&name=") == [i for i in range(COUNT) if i % 4 == 2 and i != 10]


def test_an_area_of_the_plane_holds_its_points(client, home):
    plane = open_run(home).listing.plane
    inside = np.flatnonzero((plane >= [0.4, 0.3]).all(1) & (plane <= [0.6, 0.7]).all(1))
    assert 0 < len(inside) < PAGE
    assert numbers(client.get("/images?area=0.4,0.3,0.6,0.7")) == inside.tolist()


@pytest.mark.parametrize("order", ["up", "down"])
def test_sorting_puts_what_has_no_score_last(client, order):
    pages = [numbers(client.get(f"/images?sort=outlier&order={order}&page={page}")) for page in (1, 2, 3)]
    indices = [i for page in pages for i in page]
    scored = [i for i in range(COUNT) if i != 10]
    assert indices == [*(scored[::-1] if order == "up" else scored), 10]


def test_nearest_images_are_those_of_the_weighted_embedding(home):
    listing = open_run(home).listing
    vectors = listing.vectors.astype(np.float64)
    for i in (0, 60):
        distances = np.linalg.norm(vectors - vectors[i], axis=1)
        distances[[i, 10]] = np.inf
        near = listing.nearest(i, 7)
        assert [j for j, _ in near] == np.argsort(distances)[:7].tolist()
        assert np.allclose([distance for _, distance in near], np.sort(distances)[:7], atol=1e-5)
    assert listing.nearest(10, 7) == []
    assert len(listing.nearest(0, 10_000)) == COUNT - 2


def test_an_axis_counts_one_less_its_eigenvalue(home):
    axes = pd.read_parquet(home / "samples.parquet").filter(like="axis_").to_numpy()
    assert np.allclose(open_run(home).listing.vectors, axes * [1, 0.9, 0.8, 0.7], equal_nan=True)


def test_hostile_names_and_labels_stay_text(client):
    for address in ("/", "/images", "/images/0", "/images/1", "/images/2", "/images/3", "/candidates/2"):
        page = client.get(address).text
        assert SCRIPT not in page
        assert "<b>cat</b>" not in page
        assert "\u202e" not in re.sub(r"<bdi>[^<]*</bdi>|title=\"[^\"]*\"|<title>[^<]*</title>", "", page)
    assert "&lt;img src=x onerror=alert(1)&gt;" in client.get("/images/0").text
    assert client.get("/cards/0").json()["name"] == SCRIPT
    assert client.get("/cards/3").json()["name"] == NAMES[3]


@pytest.mark.parametrize(("i", "reason"), [(MISSING, "does not exist"), (DAMAGED, "cannot be decoded")])
def test_an_image_that_cannot_be_opened_is_a_tile_with_the_reason(client, i, reason):
    answer = client.get(f"/pictures/{i}/small")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["cache-control"] == "no-store"
    assert reason in re.sub(r"<[^>]*>", " ", answer.text).replace("  ", " ")
    assert reason in client.get(f"/images/{i}").text


def test_points_are_all_images_with_a_position(client, home):
    plane = open_run(home).listing.plane
    content = client.get("/plane/points").content
    n = COUNT - 1
    assert len(content) == 9 * n
    images = np.frombuffer(content, "<u4", n)
    x = np.frombuffer(content, "<u2", n, 4 * n) / 65535
    group = np.frombuffer(content, np.uint8, n, 8 * n)
    assert sorted(images) == [i for i in range(COUNT) if i != 10]
    assert np.abs(x - plane[images, 0]).max() < 1e-4
    assert sorted(images[group == 1]) == list(MEMBERS)
    assert images[-len(MEMBERS) :].tolist() == list(MEMBERS)


def test_runs_without_images_and_runs_of_spectra_are_shown(tmp_path):
    client = client_of(write_run(tmp_path / "run", images=False, spectra=True))
    page = client.get("/images/5")
    assert '<svg class="spectrum"' in page.text
    assert "/maps/5" not in page.text
    assert client.get("/maps/5").status_code == 404
    assert "no images" in client.get("/pictures/5/small").text.replace("</tspan>", " ")
    assert client.get("/candidates/1").status_code == 200


def test_an_audit_shows_its_findings_and_the_analysis_below_it(tmp_path):
    client = client_of(write_audit(tmp_path / "audit"))
    first = client.get("/").text
    assert first.index("Confirmed") < first.index("Findings") < first.index("Sets of images")
    assert "The level of the audit is 5%" in first
    finding = client.get("/findings/1")
    assert numbers(finding) == [0, 60]
    assert "Blur." in finding.text
    assert SCRIPT not in finding.text
    assert client.get("/findings/3").status_code == 200
    assert client.get("/findings/4").status_code == 404
    assert client.get("/made").status_code == 200
    assert client.get("/candidates/1/sheet.png").status_code == 200


def test_an_audit_without_an_analysis_has_no_images(tmp_path):
    client = client_of(write_audit(tmp_path / "audit", analysis=False))
    assert "/images" not in client.get("/").text
    assert client.get("/images").status_code == 404
    assert "not there" in client.get("/findings/1").text


def write_index(home, pictures):
    """An index of four images and one that cannot be read, of random tables."""
    rng = np.random.default_rng(0)
    names = ["0.png", "1.png", f"{MISSING}.png", "2.png", "3.png"]
    fields = {"size": 16, "resize": "shortest", "interpolation": "bicubic", "mean": [0.5] * 3, "std": [0.5] * 3}
    made = {"kind": "similarity index", "images": names, "contents": "", "folder": str(pictures), "encoder": "tiny"}
    made |= {"composite": "epsilon_plus_flat", "patch_size": 8, "grid": [2, 2], "preprocessing": fields}
    arrays = {
        "tables": rng.normal(size=(5, 4, 6)).astype(np.float16),
        "scales": np.ones(5, np.float32),
        "embeddings": rng.normal(size=(5, 6)).astype(np.float32),
        "readable": np.array([True, True, False, True, True]),
    }
    Store(home, made, 1).write(0, arrays)
    return home


def test_an_index_shows_its_images_and_those_nearest_by_cosine(tmp_path):
    write_run(tmp_path / "run")  # for its pictures
    home = write_index(tmp_path / "index", tmp_path / "pictures")
    index = SimilarityIndex.open(home)
    run = open_run(home)
    assert [j for j, _ in run.listing.nearest(1, 2)] == [j for j, _ in index.neighbours(1, 2)]
    assert np.allclose(run.maps[2], index.marginal(2), atol=1e-4)
    client = client_of(home)
    assert numbers(client.get("/images")) == [0, 1, 2, 3]
    assert client.get("/pictures/2/small").headers["content-type"] == "image/jpeg"
    for address in ("/", "/made", "/images/2", "/maps/2"):
        assert client.get(address).status_code == 200
    assert client.get("/plane").status_code == 404
