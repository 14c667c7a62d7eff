"""How many pages ``chinspect serve`` answers, with many images and many users at once.

    python experiments/benchmarks/serve.py [--images 100000] [--clients 50] [--seconds 30] [--smoke]

A run of random maps and a thousand pictures, which the images of the run share, is written to a temporary folder; the
pictures are decoded for each image, as no two numbers share a thumbnail. Clients ask for pages, thumbnails, maps and
points by chance, each the next when the last one is answered, as a browser does that loads galleries. The control is a
server of one line under the same clients, in the same minutes: what Starlette, uvicorn and the clients take on this
machine before anything is done. Each row: requests a second, median and 95th percentile of the time to the last byte,
answers other than 200, and the largest memory of the server, which counts what it has looked at of the mapped maps.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
import psutil
from PIL import Image

from experiments.study import option, read_options

OPTIONS = (
    option("images", 100_000),
    option("clients", 50),
    option("seconds", 30.0, "of each measurement"),
    option("pictures", 1_000, "files, of 256 x 256 pixels"),
)
SMOKE = {"images": 300, "clients": 4, "seconds": 1.0, "pictures": 10}
KINDS = {
    "thumbnail": 0.4,
    "map": 0.2,
    "images": 0.1,
    "filtered": 0.05,
    "image": 0.1,
    "candidate": 0.05,
    "overview": 0.05,
    "points": 0.01,
    "card": 0.04,
}
"""What is asked for, and how often: of a gallery mostly its pictures."""
CANDIDATES = 6
CONTROL = """
import sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
app = Starlette(routes=[Route("/", lambda request: PlainTextResponse("x"))])
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
"""
SERVE = "from chinspect.cli import main; main()"


@dataclass
class Measured:
    """Answers of all clients: seconds by kind, errors, and the largest memory of the server in bytes."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    errors: int = 0
    memory: int = 0


def main() -> None:
    """Prints both tables."""
    options = read_options(__doc__, OPTIONS, smoke=SMOKE)
    with TemporaryDirectory() as folder:
        home = write_run(Path(folder), options.images, options.pictures)
        addresses = requests(options.images)
        port = free_port()
        serving = [sys.executable, "-c", SERVE, "serve", str(home), "--port", str(port), "--no-browser"]
        bare = [sys.executable, "-c", CONTROL]
        served = under_load(serving, port, addresses, options)
        other = free_port()
        control = under_load([*bare, str(other)], other, lambda: ("bare endpoint", "/"), options)
    busy = psutil.getloadavg()[0]
    print(f"{options.images} images, {options.clients} clients, {options.seconds:.0f} s, {psutil.cpu_count()} cores, "
          f"load of the machine {busy:.1f}")  # fmt: skip
    print(f"maps on disk: {4 * 20 * 20 * options.images / 2**20:.0f} MiB")
    show("chinspect serve, all", [s for times in served.seconds.values() for s in times], served, options.seconds)
    for kind in KINDS:
        show(f"  {kind}", served.seconds.get(kind, []), None, options.seconds)
    show("control: bare Starlette", control.seconds["bare endpoint"], control, options.seconds)


def write_run(folder: Path, count: int, pictures: int) -> Path:
    """A run of ``count`` images, as `chinspect.spray` leaves one."""
    rng = np.random.default_rng(0)
    files = []
    for i in range(pictures):
        pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        files.append(folder / f"{i}.jpg")
        Image.fromarray(pixels).resize((256, 256), Image.Resampling.BICUBIC).save(files[-1], quality=90)
    home = folder / "run"
    home.mkdir()
    maps = np.lib.format.open_memmap(home / "maps.npy", "w+", np.float32, (count, 20, 20))
    for start in range(0, count, 10_000):
        maps[start : start + 10_000] = rng.normal(size=(min(10_000, count - start), 20, 20))
    maps.flush()
    samples(rng, count, files).to_parquet(home / "samples.parquet", index=False)
    (home / "run.json").write_text(json.dumps(document(count)))
    return home


def samples(rng: np.random.Generator, count: int, files: list[Path]) -> pd.DataFrame:
    """The table of the images, with candidates of a hundredth, a fiftieth ... of them."""
    centres = rng.normal(size=(30, 32))
    clusters = rng.integers(0, 30, count)
    axes = (centres[clusters] + 0.5 * rng.normal(size=(count, 32))).astype(np.float32)
    members = [[c + 1 for c in range(CANDIDATES) if (i * 7919) % 1000 < 10 * (c + 1)] for i in range(count)]
    columns = {
        "name": [f"class_{i % 200:03}/photograph_{i:06}.jpg" for i in range(count)],
        "path": [str(files[i % len(files)]) for i in range(count)],
        "label": [f"class {i % 200}" for i in range(count)],
        "duplicate_of": np.full(count, -1),
        "state": np.full(count, "analysed", dtype=object),
        **{f"cluster_kmeans-{k}": clusters % k for k in (2, 4, 8, 16, 30)},
        "candidates": members,
        "flagged": [[number for number in numbers if number <= 2] for numbers in members],
        "x": axes[:, 0],
        "y": axes[:, 1],
        **{f"axis_{k + 1}": axes[:, k] for k in range(32)},
        **{f"strategy_{name}": rng.random(count).astype(np.float32) for name in ("cluster", "distance", "outlier")},
    }
    return pd.DataFrame(columns)


def document(count: int) -> dict[str, object]:
    """What run.json says."""
    candidates = [
        {"candidate": c + 1, "size": count * (c + 1) // 100, "shared": 0.2, "p_value": 0.001, "q_value": 0.001}
        | {"flagged": c < 2, "verdict": "candidate" if c < 2 else "untested", "surrogates": 99, "finding": "Random."}
        for c in range(CANDIDATES)
    ]
    return {
        "kind": "spray",
        "sentence": "Random maps.",
        "verdict": "candidate",
        "eigenvalues": np.linspace(0, 0.9, 32).tolist(),
        "explanation": {"encoder": "none", "images": "random"},
        "candidates": candidates,
    }


def requests(count: int) -> Callable[[], tuple[str, str]]:
    """Draws what a client asks for next: its kind and address."""
    draw = random.Random(0)
    pages = -(-count // 48)

    def some() -> int:
        return draw.randrange(count)

    made: dict[str, Callable[[], str]] = {
        "thumbnail": lambda: f"/pictures/{some()}/small",
        "map": lambda: f"/maps/{some()}",
        "images": lambda: f"/images?page={1 + draw.randrange(pages)}",
        "filtered": lambda: f"/images?sort=outlier&order=down&name={draw.randrange(count // 10)}",
        "image": lambda: f"/images/{some()}",
        "candidate": lambda: f"/candidates/{1 + draw.randrange(CANDIDATES)}",
        "overview": lambda: "/",
        "points": lambda: f"/plane/points?candidate={draw.randrange(CANDIDATES)}",
        "card": lambda: f"/cards/{some()}",
    }

    def drawn() -> tuple[str, str]:
        kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
        return kind, made[kind]()

    return drawn


def under_load(command: list[str], port: int, addresses: Callable[[], tuple[str, str]], options) -> Measured:  # type: ignore[no-untyped-def]
    """Starts a server, asks it with all clients, and ends it."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        return asyncio.run(load(port, addresses, options.clients, options.seconds, psutil.Process(process.pid)))
    finally:
        process.terminate()
        process.wait()


async def load(
    port: int, addresses: Callable[[], tuple[str, str]], clients: int, seconds: float, server: psutil.Process
) -> Measured:
    """Asks for so long, and watches the server's memory."""
    measured = Measured()
    end = time.perf_counter() + seconds

    async def watch() -> None:
        while time.perf_counter() < end:
            measured.memory = max(measured.memory, server.memory_info().rss)
            await asyncio.sleep(0.5)

    await asyncio.gather(watch(), *(client(port, addresses, end, measured) for _ in range(clients)))
    return measured


async def client(port: int, addresses: Callable[[], tuple[str, str]], end: float, measured: Measured) -> None:
    """One user: a connection that stays open, and one request after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < end:
        kind, address = addresses()
        started = time.perf_counter()
        try:
            writer.write(f"GET {address} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
        except (OSError, EOFError, StopIteration):
            measured.errors += 1
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            continue
        measured.errors += not head.startswith(b"HTTP/1.1 200")
        measured.seconds.setdefault(kind, []).append(time.perf_counter() - started)
    writer.close()


def free_port() -> int:
    """A port that nobody listens at."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until the server answers."""
    import urllib.request

    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode}")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30).read()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not answer within a minute")


def show(name: str, seconds: list[float], measured: Measured | None, duration: float) -> None:
    """A row of the table."""
    middle, high = np.quantile(seconds, [0.5, 0.95]) * 1000 if seconds else (np.nan, np.nan)
    row = f"{name:28}{len(seconds) / duration:9.1f} /s   p50 {middle:8.1f} ms   p95 {high:8.1f} ms"
    print(row if measured is None else f"{row}   errors {measured.errors}   {measured.memory / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
