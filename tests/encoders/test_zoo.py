"""The list of models: without torch, without network, with the right status."""

import subprocess
import sys
from pathlib import Path

import torch.hub

from chinspect.encoders import DEFAULT, list_models, read_card
from chinspect.encoders.weights import UrlFile, locate

SHA = "0123456789abcdef" * 4


def status(name: str) -> str:
    return next(model.status for model in list_models() if model.name == name)


def test_listing_models_imports_no_torch() -> None:
    code = "import sys; from chinspect.encoders import list_models; list_models(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "chinspect.encoders.weights" in loaded
    assert not {"torch", "torchvision", "timm", "open_clip"} & set(loaded)


def test_models_that_need_no_download_come_first() -> None:
    models = list_models()
    here = ("bundled", "installed")
    assert [m.name for m in models] == [m.name for m in sorted(models, key=lambda m: (m.status not in here, m.name))]
    assert models[0].name == DEFAULT
    assert all(model.dimension and model.license and model.embedding for model in models)


def test_a_downloaded_file_counts_as_cached() -> None:
    assert status("supervised-rn50") == "downloadable"
    weights = locate(read_card("supervised-rn50"))
    assert isinstance(weights, UrlFile)
    assert weights.path == Path(torch.hub.get_dir(), "checkpoints", "resnet50-0676ba61.pth")
    weights.path.parent.mkdir(parents=True)
    weights.path.touch()
    assert status("supervised-rn50") == "cached"


def test_files_of_the_same_name_do_not_meet() -> None:
    paths = [locate(read_card(name)) for name in ("barlowtwins-rn50", "simclr-rn50")]
    assert all(isinstance(weights, UrlFile) and "chinspect" in weights.path.parts for weights in paths)


def test_a_file_in_the_hubs_cache_counts_as_cached(tmp_path: Path) -> None:
    assert status("dinov2-s") == "downloadable"
    put_on_hub(tmp_path / "hub", "timm/vit_small_patch14_dinov2.lvd142m", "model.safetensors", b"x", SHA)
    assert status("dinov2-s") == "cached"


def put_on_hub(cache: Path, repository: str, name: str, content: bytes, sha256: str) -> Path:
    """A file as huggingface_hub leaves it: a blob that is named by its hash, and a snapshot that links to it."""
    root = cache / f"models--{repository.replace('/', '--')}"
    for folder in ("blobs", "refs", "snapshots/abc"):
        (root / folder).mkdir(parents=True)
    (root / "refs" / "main").write_text("abc")
    (root / "blobs" / sha256).write_bytes(content)
    (root / "snapshots" / "abc" / name).symlink_to(root / "blobs" / sha256)
    return root / "snapshots" / "abc" / name
