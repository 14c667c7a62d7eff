"""What strangers may try: other hosts, other methods, other files, parameters without a meaning, runs of bad make."""

import re

import numpy as np
import pytest
from starlette.testclient import TestClient

from chinspect.errors import InputError
from chinspect.serve import build_application, open_run
from chinspect.serve.cache import Cache
from chinspect.serve.folder import file_of
from tests.serve._runs import PORT, write_audit, write_run

HERE = f"http://127.0.0.1:{PORT}"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("safe")
    (folder / "secret.png").write_bytes(b"secret")
    return write_run(folder / "run")


@pytest.fixture(scope="module")
def client(home):
    return TestClient(build_application(open_run(home), PORT), base_url=HERE, raise_server_exceptions=False)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        f"evil.example:{PORT}",
        "127.0.0.1",
        "127.0.0.1:80",
        f"127.0.0.1.evil.example:{PORT}",
        f"0.0.0.0:{PORT}",
        f"[::1]:{PORT}",
        "",
    ],
)
def test_another_host_is_refused(client, host):
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == 421
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "chinspect" not in answer.text


def test_its_own_names_are_answered(client):
    assert client.get("/", headers={"host": f"localhost:{PORT}"}).status_code == 200
    assert client.head("/").status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(client, method):
    answer = client.request(method, "/images")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_may_link_and_embed_nothing(client, site):
    def asked(mode, destination):
        headers = {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": destination}
        return client.get("/pictures/20/small", headers=headers).status_code

    assert asked("no-cors", "image") == 403
    assert asked("cors", "empty") == 403
    assert asked("navigate", "iframe") == 403
    assert asked("navigate", "document") == 200


@pytest.mark.parametrize(
    "address", ["/", "/images", "/nothing", "/pictures/20/small", "/static/plane.js", "/plane/points"]
)
def test_every_answer_is_strict(client, address):
    headers = client.get(address).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert set(policy.values()) <= {"'none'", "'self'"}
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("address", ["/", "/images", "/images/0", "/candidates/1", "/plane", "/made", "/nothing"])
def test_pages_hold_nothing_that_the_policy_forbids(client, address):
    page = client.get(address).text
    assert not re.search(
        r"<script(?![^>]* src=\"/static/)|<style|\sstyle=|\son[a-z]+=\"|javascript:|https?://(?!www.w3)", page
    )


@pytest.mark.parametrize(
    "prefix", ["/figures/", "/static/", "/candidates/1/", "/candidates/1/maps/", "/pictures/1/", "/"]
)
@pytest.mark.parametrize(
    "path",
    [
        "../secret.png",
        "..%2fsecret.png",
        "%2e%2e/secret.png",
        "%2e%2e%2fsecret.png",
        "..%5csecret.png",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "run.json",
        "samples.parquet",
        "embedding.png%00.html",
        "%00",
        "..%252fsecret.png",
        "C:%5cWindows%5cwin.ini",
        ".",
        "%ff%fe",
    ],
)
def test_no_address_reaches_another_file(client, prefix, path):
    answer = client.get(f"{HERE}{prefix}{path}")
    assert answer.status_code in (200, 400, 404)
    assert answer.status_code != 200 or "<h1>" in answer.text  # "/." is the first page
    assert b"secret" not in answer.content.replace(path.encode(), b"").replace(b"secret.png", b"")
    assert b"root:" not in answer.content


NONSENSE = [
    "/images?page=-1",
    "/images?page=1e3",
    "/images?page=" + "9" * 5000,
    "/images?page=%D9%A1",
    "/images?page=²",
    "/images?sort=x",
    "/images?sort=__class__",
    "/images?order=sideways",
    "/images?label=lion",
    "/images?state=lost",
    "/images?candidate=3",
    "/images?candidate=one",
    "/images?cluster=kmeans-4",
    "/images?cluster=kmeans-4:x",
    "/images?cluster=:",
    "/images?area=1,2,3",
    "/images?area=nan,0,1,1",
    "/images?area=inf,0,1,1",
    "/images?name=" + "a" * 301,
    "/images?pag=2",
    "/images?%ff=%fe",
    "/images/-1",
    "/images/120",
    "/images/1.5",
    "/images/" + "1" * 5000,
    "/candidates/0",
    "/candidates/x",
    "/findings/1",
    "/plane?candidate=9",
    "/plane/points?candidate=-1",
    "/cards/x",
    "/maps/x",
    "/pictures/1/huge",
    "/pictures/1",
    "/figures/report.png",
    "/candidates/1/maps/secret",
    "/candidates/1/proof.png",
    "/report",
    "/images/",
    "//evil.example/",
]


@pytest.mark.parametrize("address", NONSENSE)
def test_nonsense_is_answered_in_a_sentence(client, address):
    answer = client.get(HERE + address)
    assert answer.status_code in (400, 404)
    text = re.search(r"<p><bdi>(.*?)</bdi></p>", answer.text, re.DOTALL)
    assert text is not None
    assert text[1].endswith((".", "?"))
    assert len(text[1]) < 500


def test_links_that_leave_the_run_are_no_files_of_it(tmp_path):
    home = write_run(tmp_path / "run")
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"secret")
    for name in ("embedding.png", "spectrum.png", "candidates/1/sheet.png", "report.html"):
        (home / name).unlink(missing_ok=True)
        (home / name).symlink_to(outside)
    (home / "candidates" / "2").rename(tmp_path / "elsewhere")
    (home / "candidates" / "2").symlink_to(tmp_path / "elsewhere")
    client = TestClient(build_application(open_run(home), PORT), base_url=HERE)
    for address in ("/figures/embedding.png", "/candidates/1/sheet.png", "/candidates/2/sheet.png", "/report"):
        assert client.get(address).status_code == 404
    assert client.get("/candidates/2/maps/template").status_code == 404
    (home / "circle.png").symlink_to(home / "circle.png")
    assert file_of(home, "circle.png") is None
    (home / "within.png").symlink_to(home / "run.json")
    assert file_of(home, "within.png") == home / "within.png"


def test_an_audit_finds_no_analysis_behind_a_link(tmp_path):
    home = write_audit(tmp_path / "audit", analysis=False)
    (home / "spray").symlink_to(write_run(tmp_path / "other" / "run"))
    assert open_run(home).listing is None


def test_the_reports_scripts_are_shut_in(tmp_path):
    home = write_run(tmp_path / "run")
    (home / "run.html").write_text("<script>fetch('/images')</script>")
    client = TestClient(build_application(open_run(home), PORT), base_url=HERE)
    answer = client.get("/report")
    assert answer.headers["content-security-policy"].startswith(
        "sandbox allow-scripts allow-downloads; default-src 'none'"
    )
    assert "same-origin" not in answer.headers["content-security-policy"]
    assert '<a href="/report">' in client.get("/").text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "proof"}, "of the kind 'proof', not 'spray'"),
        ({"explanation": {"preprocessing": {"size": 1.5}}}, "preprocessing"),
        ({"explanation": {"preprocessing": [1]}}, "preprocessing"),
    ],
)
def test_a_run_of_bad_make_is_refused_in_a_sentence(tmp_path, changes, reason):
    home = write_run(tmp_path / "run", **changes)
    with pytest.raises(InputError, match=reason):
        open_run(home)


def test_a_document_of_other_types_than_expected_is_shown_all_the_same(tmp_path):
    odd = {
        "sentence": ["a"],
        "verdict": {"x": 1},
        "candidates": [{"candidate": 1, "size": "many", "shared": [], "q_value": "x"}, {"candidate": "../1"}, 3],
        "explanation": "none",
        "faithfulness": 3,
        "eigenvalues": "x",
        "parameters": "\ud800",
    }
    client = TestClient(build_application(open_run(write_run(tmp_path / "run", **odd)), PORT), base_url=HERE)
    for address in ("/", "/candidates/1", "/made", "/images/0"):
        assert client.get(address).status_code == 200
    assert client.get("/candidates/2").status_code == 404


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    home = write_run(tmp_path / "run")
    np.save(home / "maps.npy", np.zeros((3, 4, 4), np.float32))
    with pytest.raises(InputError, match="holds 3 maps of 120 images"):
        open_run(home)
    np.save(home / "maps.npy", np.array([{}], dtype=object))
    with pytest.raises(InputError, match=r"maps.npy' cannot be read as maps"):
        open_run(home)
    (home / "samples.parquet").write_bytes(b"PAR1 no more of it")
    with pytest.raises(InputError, match="no table of the images"):
        open_run(home)
    (home / "samples.parquet").unlink()
    with pytest.raises(InputError, match="lacks samples"):
        open_run(home)
    (home / "run.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        open_run(home)


@pytest.mark.parametrize("content", [None, {}, {"manifest.json": "{}"}])
def test_a_folder_without_a_run_is_refused_in_a_sentence(tmp_path, content):
    home = tmp_path / "folder"
    if content is not None:
        home.mkdir()
        for name, text in content.items():
            (home / name).write_text(text)
    with pytest.raises(InputError, match=r"no folder|no finished run|no store") as error:
        open_run(home)
    assert str(error.value).count("\n") == 0


def test_the_cache_holds_no_more_than_its_room_and_drops_what_was_used_longest_ago():
    cache = Cache(100)
    made = []

    def entry(key, size=30):
        return cache.get(key, lambda: made.append(key) or b"x" * size)

    for key in "abcabd":  # d takes the room of c, which was used longest ago
        entry(key)
    assert cache.size == 90
    assert made == ["a", "b", "c", "d"]
    entry("a")
    entry("c")
    assert made == ["a", "b", "c", "d", "c"]
    assert len(entry("large", 200)) == 200
    assert cache.size == 90
