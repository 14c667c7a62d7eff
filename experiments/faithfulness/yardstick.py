"""The yardstick: vector-valued Shapley values of photographs, twice from sets of their own, in a store.

    python experiments/faithfulness/yardstick.py --photographs DIR --cache DIR [--count 40] [--evaluations 980]

The table of the study needs it, and makes what is missing of it. The two halves of the evaluations give two independent
maps: their agreement says how reliable their mean is. A run that was killed goes on where it stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
from numpy.typing import NDArray

from chinspect.encoders import load_encoder
from chinspect.execute import Store
from chinspect.relevance import shapley_map
from experiments.faithfulness.photographs import PATCHES, draw_photographs, onnx_session
from experiments.study import option, read_options

OPTIONS = (
    option("photographs", None, "a folder of images with labels.csv", type=Path),
    option("cache", Path("results/yardstick"), "a folder for Shapley values, which are slow"),
    option("model", "efficientnet-lite0"),
    option("count", 40, "photographs, and pairs"),
    option("evaluations", 980, "an image, both halves together"),
)


@dataclass(frozen=True)
class Yardstick:
    """Shapley values of one photograph.

    Attributes:
        halves: two independent estimates (2, P, D).
        output, baseline: the embeddings (D,) of the photograph and of its reference.
    """

    halves: NDArray[np.float32]
    output: NDArray[np.float32]
    baseline: NDArray[np.float32]

    @property
    def values(self) -> NDArray[np.float32]:
        """The mean of both halves (P, D)."""
        values: NDArray[np.float32] = self.halves.mean(0)
        return values


def yardsticks(files: Sequence[Path], model: str, evaluations: int, cache: Path) -> list[Yardstick]:
    """Those of all photographs; what the cache does not hold is computed."""
    encoder = load_encoder(model)
    names = [file.name for file in files]
    description: dict[str, Any] = {"model": encoder.fingerprint, "components": PATCHES.name, "reference": "blur"}
    description |= {"evaluations": evaluations, "photographs": names}
    store = Store(cache / f"shapley-{len(files)}", description, len(files))
    missing = store.missing()
    respond = onnx_session(encoder) if missing else encoder.module
    for number in missing:
        x = encoder.prepare(files[number])
        halves = [
            shapley_map(respond, x, PATCHES, evaluations=evaluations // 2, random_state=2 * number + half)
            for half in (0, 1)
        ]
        arrays = {"halves": np.stack([half.values.numpy() for half in halves])}
        store.write(number, arrays | {"output": halves[0].output.numpy(), "baseline": halves[0].baseline.numpy()})
        print(f"{number + 1} of {len(files)}: {names[number]}", flush=True)
    return [Yardstick(**store.read(number)) for number in range(len(files))]


if __name__ == "__main__":
    options = read_options(__doc__, OPTIONS, seed=0)
    drawn = draw_photographs(options.photographs, options.count, options.seed)
    yardsticks(drawn.ring, options.model, options.evaluations, options.cache)
