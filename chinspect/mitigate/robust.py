"""The entire network trained to be right for every group: Group DRO, Just Train Twice, and plain training beside them.

A linear head is put behind the encoder, on embeddings standardised as they were before; it starts at zero, and all
weights are trained together. With L_i the cross-entropy of image i, g its group, n_g the images of that group:

    erm        the mean of L_i: plain training, what the others are compared with.
    groupdro   images are drawn from all groups as often. After each batch, for the groups in it,
                   q_g <- q_g exp(eta (L_g + adjustment / sqrt(n_g))),    q <- q / sum q,
               with L_g the mean over the batch's images of g, and a step is taken on sum_g q_g L_g (Sagawa et al. 2020,
               arXiv:1911.08731, algorithm 1, with its size adjustment).
    jtt        a short first training; what it gets wrong is drawn ``factor`` times as often in a second one, which
               starts from the encoder again (Liu et al. 2021, arXiv:2107.09044). It needs no groups.

A network that is trained to the end is right on all training images, in every group, and groups change nothing (Sagawa
et al. 2020, section 3). So a quarter of the images of each class is held out, and the epoch is selected whose worst
group there is right most often, or worst class where the groups are the classes, which takes no knowledge of groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from chinspect.encoders import EditedEncoder, Encoder, Retrain, as_encoder, edited
from chinspect.groups import Groups
from chinspect.mitigate.finetuning import Progress, Schedule, selected_epoch
from chinspect.mitigate.losses import Images, WorstGroups
from chinspect.mitigate.resumption import Rows, Weights
from chinspect.mitigate.robust_plan import SELECT, Plan
from chinspect.readouts import LinearHead
from chinspect.report import Result

_SLOWER = 10  # times is the first training of jtt by default, in one epoch: it shall learn what is easiest, and no more


@dataclass(frozen=True, eq=False, repr=False)
class RobustTraining(Result):
    """What a training led to.

    Attributes:
        encoder: the new one; ``encoder.base`` is the one before.
        head: of its embeddings.
        history: one row an epoch, from 0, which is before the first: epoch, loss, and on the held-out images ``worst``,
            the accuracy of the worst group, and ``mean``.
        selected: ``epoch``, ``by`` (``worst class``, or ``worst group`` and what groups were made from), and ``n``, the
            held-out images.
        errors: of jtt: ``wrong``, training images that the first training got wrong, of how many ``images``, and
            ``drawn``, which fraction of the draws of the second they are: near 1 it learns hardly anything else, and
            may unlearn what is right. Empty of others.
        group_weights: q by the name of the group, of groupdro; empty of others.
    """

    stem = "training"

    encoder: EditedEncoder
    head: LinearHead
    history: pd.DataFrame
    selected: Mapping[str, Any]
    errors: Mapping[str, float]
    group_weights: Mapping[str, float]

    @property
    def sentence(self) -> str:
        """Which epoch was selected, and by what."""
        epochs = len(self.history) - 1
        worst = self.history["worst"][self.selected["epoch"]]
        sentence = f"{self.head.name}: epoch {self.selected['epoch']} of {epochs} is selected by the"
        sentence += f" {self.selected['by']} of {self.selected['n']} held-out images, {worst:.1%} right."
        if self.errors:
            count = f"{self.errors['wrong']:g} of {self.errors['images']:g} images"
            sentence += f" The first training got {count} wrong, {self.errors['drawn']:.1%} of the draws of the second."
        return sentence

    def document(self) -> dict[str, Any]:
        """The history, and how the epoch was selected."""
        return super().document() | {
            "selected": dict(self.selected),
            "errors": dict(self.errors),
            "group_weights": dict(self.group_weights),
        }

    def overview(self) -> Mapping[str, pd.DataFrame]:
        """The history, and on which images it was measured."""
        return {f"epochs of {self.head.name}; accuracy on held-out training images": self.history}


def train_robust(
    encoder: Encoder | str,
    images: Images,
    groups: Groups,
    *,
    method: str = "groupdro",
    factor: float = 50.0,
    first: Schedule | None = None,
    eta: float = 0.01,
    adjustment: float = 0.0,
    schedule: Schedule | None = None,
    checkpoints: str | Path | None = None,
    progress: Progress | None = None,
) -> RobustTraining:
    """Train an encoder and a head so that every group is right; see the module.

    Args:
        encoder: an encoder, or the name of one (see `load_encoder`); not an edited one. It stays as it is.
        images: (N,), such as `chinspect.readouts.Pictures`, or pictures.
        groups: of these images, with their classes, such as those of `chinspect.groups.find_groups`, or
            `chinspect.groups.class_groups` where there are none.
        method: ``groupdro``, ``jtt``, or ``erm``.
        factor: of jtt, 1 or more; 20 to 100 in the paper.
        first: of jtt, the schedule of the first training; by default one epoch at a tenth of the learning rate.
        eta: step of the group weights, of groupdro.
        adjustment: of groupdro, how much more small groups count; 0 to 5 in the paper.
        schedule: None is `Schedule()`; its seed is also that of the held-out images.
        checkpoints: a folder in which an interrupted run finds its last epoch; other settings, images or weights find
            nothing there.
        progress: called with the number of epochs that are done and of all, of jtt first of the first training.

    Raises `InputError` for what is not known or does not fit, a loss that is no number, and a first training of jtt
    that gets nothing wrong, so that there is nothing to count more, or has learnt nothing yet. With usual learning
    rates that is what happens: the paper's first training has 1e-5 on Waterbirds.
    """
    schedule = schedule or Schedule()
    plan = Plan(as_encoder(encoder), images, groups, method, schedule, checkpoints, progress)
    plan.check(factor, eta, adjustment)
    if method == "erm":
        weights, rows = plan.run(plan.plain_training(), schedule, {})
    elif method == "groupdro":
        own, sizes = plan.own_groups(), plan.sizes()
        loss = WorstGroups(plan.encoder, plan.train_images, plan.targets(), torch.tensor(own), sizes, eta, adjustment)
        draws = (1 / sizes.numpy())[own]
        training = replace(plan.plain_training(), loss=loss, draws=draws)
        weights, rows = plan.run(training, schedule, {"eta": eta, "adjustment": adjustment})
    else:
        first = first or replace(schedule, epochs=1, learning_rate=schedule.learning_rate / _SLOWER)
        wrong = plan.errors_after(first)
        draws = np.where(wrong, factor, 1.0)
        training = replace(plan.plain_training(), draws=draws)
        weights, rows = plan.run(training, schedule, {"factor": factor, "first": asdict(first)})
        drawn = float(draws[wrong].sum() / draws.sum())
        return _result(plan, weights, rows, {"wrong": int(wrong.sum()), "images": len(wrong), "drawn": drawn})
    return _result(plan, weights, rows, {})


def _result(plan: Plan, weights: Weights, rows: Rows, errors: Mapping[str, float]) -> RobustTraining:
    prefix = "network."
    network = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    tuned = edited(plan.encoder, Retrain(network))
    groups = plan.groups
    # of groups that are the classes the worst is known without any knowledge of groups
    by = "worst class" if len(groups.names) == len(plan.classes) else f"worst group from {groups.method}"
    selected = {"epoch": selected_epoch(rows, SELECT), "by": by, "n": len(plan.held_out_images)}
    q = dict(zip(groups.names, weights["group_weights"].tolist(), strict=True)) if plan.method == "groupdro" else {}
    head = _linear_head(weights, plan.method, [str(name) for name in plan.classes], tuned)
    return RobustTraining(tuned, head, pd.DataFrame(rows), selected, errors, q)


def _linear_head(weights: Weights, name: str, classes: list[str], encoder: Encoder) -> LinearHead:
    keys = ("head.weight", "head.bias", "mean", "scale")
    rows, intercepts, mean, scale = (weights[key].double().numpy() for key in keys)
    if len(classes) == 2:  # one row, positive for the second
        rows, intercepts = rows[1:] - rows[:1], intercepts[1:] - intercepts[:1]
    return LinearHead(name, classes, rows, intercepts, mean, scale, encoder.fingerprint)
