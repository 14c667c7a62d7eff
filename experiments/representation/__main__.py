"""Table 1 and Figure 3 of Kauffmann et al. 2025: trucks with a logo, fish with humans, for several encoders.

    python experiments/representation.py [--study trucks fish] [--seeds 3] [--out DIR] [--smoke]
    python experiments/representation.py --imagenet ROOT [--humans FILE] [--encoders clip-rn50-gap ...] [--layer act3]
    python experiments/representation.py --tiny-imagenet DIR [--encoders FOLDER ...]

Trucks: readouts are fitted on training images and judged on test images as they are and with a logo on every one. The
encoder that loses most is pruned (or the one named by --mitigate): layer and number of channels are chosen on
validation data, the result is judged on the test images beside as many random channels, the projection of the logo's
direction, and fine-tuning that unlearns the logo, or a random patch; once more with the logo in other places, where it
may hide what is shown. Fish: readouts are judged on all test images, on those with a human and on those without.

ROOT and DIR hold train/WNID and val/WNID. In DIR, twenty classes of Tiny-ImageNet, there are no fish to tell apart, and
no logos: they are put onto the training images as `train_ssl.py` does, whose encoders belong here. Without either,
scenes are generated. Which images of ROOT show humans is detected, or read from FILE, a path in ROOT each line. --smoke
makes everything small: it tests the script, its numbers mean nothing. Seeds redraw the scenes, or which images are held
out to choose on.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from representation_fish import fish
from representation_trucks import trucks

from chinspect import __version__
from chinspect.encoders import load_encoder
from chinspect.files import output_folder, replacing

TINY = ("tiny-clip", "tiny-simclr", "tiny-barlowtwins", "tiny-supervised")
LARGE = ("clip-rn50-gap", "simclr-rn50", "barlowtwins-rn50", "supervised-rn50")
STUDIES = {"fish": fish, "trucks": trucks}
"""In the order in which they run: what the fish lack is noticed before the trucks take their time."""


def main() -> None:
    """Runs the studies and writes their tables."""
    options = read_options()
    out = output_folder(options.out)
    start = time.time()
    encoders = {label: load_encoder(name) for label, name in options.encoders.items()}
    for name, study in STUDIES.items():
        if name in options.study:
            study(encoders, options, out)
    run: dict[str, Any] = {key: str(value) for key, value in vars(options).items()}
    run |= {"version": __version__, "seconds": round(time.time() - start)}
    with replacing(out / "run.json") as temporary:
        temporary.write_text(json.dumps(run, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    """The command line; encoders by what they are called in the tables, which of a folder is its last name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--imagenet", type=Path, metavar="ROOT")
    data.add_argument("--tiny-imagenet", type=Path, metavar="DIR")
    parser.add_argument("--study", nargs="+", choices=STUDIES, help="both by default, trucks in Tiny-ImageNet")
    parser.add_argument("--encoders", nargs="+", help="names, or folders of encoders")
    parser.add_argument("--mitigate", help="the encoder to prune; by default the one that loses most")
    parser.add_argument("--layer", help="prune here instead of searching for a layer")
    parser.add_argument("--unlearn", type=int, default=5, metavar="EPOCHS", help="of the fine-tuning; 0 leaves it out")
    parser.add_argument("--logo", type=Path, help="a PNG file with transparency, for real images")
    parser.add_argument("--humans", type=Path, metavar="FILE", help="which images show humans, for --imagenet")
    parser.add_argument("--per-class", type=int, default=1300, help="most training images of a class")
    parser.add_argument("--scenes", type=int, default=800, help="generated scenes to fit on, and to judge on")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/representation"))
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    options.study = options.study or (["trucks"] if options.tiny_imagenet else list(STUDIES))
    if options.tiny_imagenet and "fish" in options.study:
        parser.error("the sixteen fish are not in Tiny-ImageNet; use --study trucks")
    if options.humans and not options.imagenet:
        parser.error("--humans belongs to --imagenet")
    names = options.encoders or (LARGE if options.imagenet else TINY[:2] if options.smoke else TINY)
    options.encoders = {Path(name).name if Path(name).is_dir() else name: name for name in names}
    if len(options.encoders) < len(names):
        parser.error("two of --encoders have the same name, or folders of the same name")
    if options.smoke:
        options.scenes, options.seeds, options.per_class, options.unlearn = 96, min(options.seeds, 2), 20, 1
    if options.mitigate is not None and options.mitigate not in options.encoders:
        parser.error(f"--mitigate is one of {', '.join(options.encoders)}, not {options.mitigate!r}")
    return options


if __name__ == "__main__":
    main()
