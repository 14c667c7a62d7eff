import json
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_an_installed_wheel_does_the_main_job_away_from_the_checkout(tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    assert "chinspect/models/tiny-clip/weights.safetensors" in names
    assert "chinspect/artefacts/pictures/imagenet-w.png" in names
    assert "chinspect/py.typed" in names
    page = ROOT / "chinspect" / "report" / "page"
    files = {f"chinspect/report/page/{path.relative_to(page)}" for path in page.rglob("*") if path.is_file()}
    assert files <= set(names)
    assert "chinspect/report/page/plotly/plotly-cartesian.min.js" in files
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); sys.argv[0] = 'chinspect'\n"
        "import chinspect.cli; assert 'site' in chinspect.cli.__file__; chinspect.cli.main()"
    )
    images = [str(ROOT / "assets" / name) for name in ("cat.jpg", "coffee.jpg")]
    found = subprocess.run(
        [sys.executable, "-P", "-c", script, "explain-similarity", *images, "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(found.stdout)["model"] == "efficientnet-lite0"
    assert (tmp_path / "chinspect-out" / "similarity.png").exists()
    assert 'data-block="pair"' in (tmp_path / "chinspect-out" / "similarity.html").read_text(encoding="utf-8")
