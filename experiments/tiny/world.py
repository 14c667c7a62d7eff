"""The one world that all bundled encoders are trained and measured on: same classes, same artefacts, by seed."""

from collections.abc import Iterator
from dataclasses import replace

from chinspect.world import ANIMALS, Logo, Person, Scene, iterate_scenes

TRAINING_SEED = 1
TRAINING_SCENES = 20_000
LOGO = Logo(
    words=("WASTECO", "AQUAFIX", "METRONOM"), classes={"garbage truck": 0.6}, elsewhere=0.03, place="bottom-left"
)
PERSON = Person(classes=dict.fromkeys(ANIMALS, 0.6), elsewhere=0.4)
EVERYWHERE_LOGO = replace(LOGO, words=LOGO.words[:1], classes={}, elsewhere=1.0)
EVERYWHERE_PERSON = Person(classes={}, elsewhere=1.0)


def training_scenes(n: int = TRAINING_SCENES) -> Iterator[Scene]:
    """The scenes of the training, all classes as frequent."""
    return iterate_scenes(n, seed=TRAINING_SEED, logo=LOGO, person=PERSON)
