"""What the steps of an audit of an encoder bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from chinspect.audit.measuring import Measures
from chinspect.audit.remedies import Repair
from chinspect.audit.sites import Site
from chinspect.encoders import Encoder
from chinspect.execute import Samples
from chinspect.proof import Case, Proof
from chinspect.similarity import SimilarityIndex
from chinspect.spray import SprayRun


@dataclass(frozen=True, eq=False)
class Suspect:
    """Images that may share an artefact, and what a proof says of it.

    Attributes:
        name: of the artefact.
        members: indices of the images, in the run; of those that pairs led to, the ones that carry what was cut out.
        finding: index of the candidate among the findings of the run; None where pairs led to the images.
        site: that pairs share; None where a candidate did.
        case: to prove; None where there is none, for the reason in ``note``.
        proof: of it, once it was made.
    """

    name: str
    members: Sequence[int]
    finding: int | None = None
    site: Site | None = None
    case: Case | None = None
    note: str = ""
    proof: Proof | None = None

    @property
    def cut_out(self) -> bool:
        """Whether its images share pixels that can be tested."""
        return self.case is not None and not self.case.artefact.empty


@dataclass(eq=False)
class Evidence:
    """What the steps of an audit have brought; each is None or empty where its step did not come to an end."""

    encoder: Encoder
    samples: Samples
    index: SimilarityIndex | None = None
    pairs: pd.DataFrame | None = None
    run: SprayRun | None = None
    edges: Sequence[Site] | None = None
    suspects: Sequence[Suspect] = ()
    measures: list[Measures] = field(default_factory=list)
    repair: Repair | None = None

    @property
    def confirmed(self) -> list[Suspect]:
        """Suspects of which the proof is ``confirmed``."""
        return [
            suspect for suspect in self.suspects if suspect.proof is not None and suspect.proof.verdict == "confirmed"
        ]
