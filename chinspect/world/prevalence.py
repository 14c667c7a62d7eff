"""How often an artefact occurs, by class."""

from collections.abc import Mapping

import numpy as np

from chinspect.errors import InputError


def check_prevalence(classes: Mapping[str, float], elsewhere: float) -> None:
    """Raise InputError unless every probability lies in [0, 1]."""
    for name, value in {**classes, "elsewhere": elsewhere}.items():
        if not 0 <= value <= 1:
            raise InputError(f"The prevalence for {name!r} must lie between 0 and 1, not {value}.")


def occurs(rng: np.random.Generator, classes: Mapping[str, float], elsewhere: float, class_name: str) -> bool:
    """Draw whether the artefact occurs in one scene of this class."""
    return bool(rng.random() < classes.get(class_name, elsewhere))
