"""Table 1 and Figure 3 of Kauffmann et al. 2025: trucks with a logo, fish with humans, for several encoders.

    python experiments/representation [--study trucks fish] [--seeds 3] [--out DIR] [--smoke]
    python experiments/representation --imagenet ROOT [--humans FILE] [--encoders clip-rn50-gap ...] [--layer act3]
    python experiments/representation --tiny-imagenet DIR [--encoders FOLDER ...]

Trucks: readouts are fitted on training images and judged on test images as they are and with a logo on every one. The
encoder that loses most is pruned (or the one named by --mitigate): layer and number of channels are chosen on
validation data, the result is judged on the test images beside as many random channels, the projection of the logo's
direction, and fine-tuning that unlearns the logo, or a random patch; once more with the logo in other places, where it
may hide what is shown. Fish: readouts are judged on all test images, on those with a human and on those without.

ROOT and DIR hold train/WNID and val/WNID. In DIR, twenty classes of Tiny-ImageNet, there are no fish to tell apart, and
no logos: they are put onto the training images as `experiments/train_ssl` does, whose encoders belong here. Without
either, scenes are generated. Which images of ROOT show humans is detected, or read from FILE, a path in ROOT each line.
--smoke makes everything small: it tests the script, its numbers mean nothing. Seeds redraw the scenes, or which images
are held out to choose on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

from chinspect.encoders import load_encoder
from experiments.representation.fish import study_fish
from experiments.representation.trucks import study_trucks
from experiments.study import Run, option, read_options, refuse

TINY = ("tiny-clip", "tiny-simclr", "tiny-barlowtwins", "tiny-supervised")
LARGE = ("clip-rn50-gap", "simclr-rn50", "barlowtwins-rn50", "supervised-rn50")
STUDIES = {"fish": study_fish, "trucks": study_trucks}
"""In the order in which they run: what the fish lack is noticed before the trucks take their time."""
OPTIONS = (
    option("imagenet", type=Path, metavar="ROOT"),
    option("tiny-imagenet", type=Path, metavar="DIR"),
    option("study", None, "both by default, trucks in Tiny-ImageNet", nargs="+", choices=STUDIES),
    option("encoders", None, "names, or folders of encoders", nargs="+"),
    option("mitigate", None, "the encoder to prune; by default the one that loses most"),
    option("layer", None, "prune here instead of searching for a layer"),
    option("unlearn", 5, "epochs of the fine-tuning; 0 leaves it out", metavar="EPOCHS"),
    option("logo", None, "a PNG file with transparency, for real images", type=Path),
    option("humans", None, "which images show humans, for --imagenet", type=Path, metavar="FILE"),
    option("per-class", 1300, "most training images of a class"),
    option("scenes", 800, "generated scenes to fit on, and to judge on"),
)
SMOKE = {"scenes": 56, "per_class": 20, "unlearn": 1}


def main() -> None:
    """Runs the studies and writes their tables."""
    options = completed()
    with Run(options) as run:
        encoders = {label: load_encoder(name) for label, name in options.encoders.items()}
        for name, study in STUDIES.items():
            if name in options.study:
                study(encoders, run)


def completed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options; encoders by what they are called in the tables, which of a folder is its last name."""
    out = "results/representation"
    apart = [("imagenet", "tiny-imagenet"), ("imagenet", "scenes"), ("tiny-imagenet", "scenes")]
    options = read_options(__doc__, OPTIONS, out=out, seeds=3, smoke=SMOKE, apart=apart, arguments=arguments)
    options.study = options.study or (["trucks"] if options.tiny_imagenet else list(STUDIES))
    if options.tiny_imagenet and "fish" in options.study:
        refuse("the sixteen fish are not in Tiny-ImageNet; use --study trucks")
    if options.humans and not options.imagenet:
        refuse("--humans belongs to --imagenet")
    if options.logo and not (options.imagenet or options.tiny_imagenet):
        refuse("--logo is for real images: it belongs to --imagenet or --tiny-imagenet")
    names = options.encoders or (LARGE if options.imagenet else TINY[:2] if options.smoke else TINY)
    options.encoders = {Path(name).name if Path(name).is_dir() else name: name for name in names}
    if len(options.encoders) < len(names):
        refuse("two of --encoders have the same name, or folders of the same name")
    if options.smoke:
        options.seeds = min(options.seeds, 2)
    if options.mitigate is not None and options.mitigate not in options.encoders:
        refuse(f"--mitigate is one of {', '.join(options.encoders)}, not {options.mitigate!r}")
    return options


if __name__ == "__main__":
    main()
