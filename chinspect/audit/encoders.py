"""The audit of an encoder: suspicious pairs, sets of alike maps, what each lies on, proofs of all of it in one family,
traces of processing, a confounder, and a remedy that is judged by the same tests.

    request.json   what is audited, and how: another model, folder or option is refused in this folder
    plan.json      what was planned: the same command goes on with the same images
    stores/        the index, the maps, proofs and measures, each named by a digest of all that decides it
    strategies/    the run of SpRAy, with a sheet of each set of maps
    remedy/        with ``mitigate``, the pruned encoder, which `chinspect.load_encoder` reads
    audit.json     what was selected, see `chinspect.audit.Audit`
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from chinspect.audit.evidence import Evidence
from chinspect.audit.finding import LEVEL
from chinspect.audit.judging import encoder_findings
from chinspect.audit.measuring import confounder_measures, trace_measures
from chinspect.audit.plan import Plan, encoder_steps, spread, time_batch
from chinspect.audit.records import Request, claim, planned, proofs_of
from chinspect.audit.remedies import repaired
from chinspect.audit.result import Audit
from chinspect.audit.sections import encoder_sections
from chinspect.audit.selecting import suspects
from chinspect.audit.sites import edge_sites
from chinspect.audit.steps import Count, PlannedSteps, Progress, Steps
from chinspect.digests import digest_of_json
from chinspect.encoders import Encoder
from chinspect.execute import Samples
from chinspect.mitigate import save_encoder
from chinspect.proof import with_proofs
from chinspect.similarity import SimilarityIndex, suspicious_pairs
from chinspect.spray import analyse

_LIBRARIES = ("chinspect", "torch", "numpy", "scipy", "scikit-learn", "pillow")
REMEDY = "remedy"
"""Folder of the encoder that is pruned of what was confirmed."""
_PATCHES = 7  # to a side: a mark of a twentieth of an image fills a patch, and an index takes a second an image


@dataclass(frozen=True)
class Options:
    """What is asked of an audit, see `chinspect.audit.audit_model`."""

    labels: Sequence[str] | None = None
    confounders: Sequence[str] | None = None
    mitigate: bool = False
    workers: int = 0
    budget: float | None = None
    surrogates: int = 99
    seed: int = 0


def audit_encoder(
    encoder: Encoder,
    samples: Samples,
    options: Options,
    folder: Path,
    *,
    force: bool = False,
    announce: Callable[[Plan], None] | None = None,
    progress: Progress | None = None,
) -> Audit:
    """See `chinspect.audit.audit_model`; labels and confounders are one for each of the samples."""
    request = _request(encoder, samples, options)
    claim(folder, request, force=force)
    plan = planned(folder, _plan(encoder, samples, options))
    if announce is not None:
        announce(plan)
    options, samples = _sampled(options, samples, plan)
    steps = PlannedSteps(plan, progress)
    evidence = Evidence(encoder, samples)
    store = folder / "stores" / request.digest[:8]
    _look(evidence, steps, options, store, folder)
    _prove(evidence, steps, options, store, plan.cases)
    _measure(evidence, steps, options, store, folder)
    findings = encoder_findings(evidence, steps)
    return Audit(
        f"{encoder.name} on {samples.root.name}",
        "encoder",
        findings,
        steps.table,
        LEVEL,
        encoder_sections(evidence),
        _made(request, folder, options) | {"plan": plan.limits},
    )


def _request(encoder: Encoder, samples: Samples, options: Options) -> Request:
    """Everything that decides the result, as JSON values; of lists and images their digests."""
    return Request(
        {
            "model": encoder.fingerprint,
            "images": samples.digest,
            "encoder": encoder.name,
            "folder": str(samples.root),
            "labels": None if options.labels is None else digest_of_json(list(options.labels)),
            "confounder": None if options.confounders is None else digest_of_json(list(options.confounders)),
            "mitigate": options.mitigate,
            "budget": options.budget,
            "surrogates": options.surrogates,
            "seed": options.seed,
        }
    )


def _made(request: Request, folder: Path, options: Options) -> dict[str, Any]:
    """How it was computed: what was asked, versions, and the command and call that do it again."""
    made = request.made
    asked = {"mitigate": options.mitigate or None, "budget": options.budget, "seed": options.seed or None}
    asked["n_surrogates"] = options.surrogates
    stated = {name: value for name, value in asked.items() if value is not None}
    flags = [
        f"--{'surrogates' if name == 'n_surrogates' else name}" + ("" if value is True else f" {value}")
        for name, value in stated.items()
    ]
    flags += [f"--{name} ..." for name in ("labels", "confounder") if made[name] is not None]
    images = shlex.quote(made["folder"])
    arguments = ", ".join(f"{name}={value!r}" for name, value in stated.items())
    return made | {
        "versions": {name: version(name) for name in _LIBRARIES},
        "command": f"chinspect audit {images} --model {made['encoder']} --out {folder} {' '.join(flags)}",
        "python": f"chinspect.audit_model({made['encoder']!r}, {made['folder']!r}, {arguments})",
        "maps": f"chinspect spray {images} --model {made['encoder']} --surrogates {options.surrogates}",
        "pairs": f"chinspect explain-similarity A B --model {made['encoder']}",
    }


def _plan(encoder: Encoder, samples: Samples, options: Options) -> Plan:
    pictures = [samples[int(i)] for i in spread(len(samples), min(len(samples), 3), options.seed)]
    timing = time_batch(encoder, pictures, encoder.preprocessing.size // _PATCHES)
    asked = {"confounder": options.confounders is not None, "mitigation": options.mitigate}
    steps = encoder_steps(timing, surrogates=options.surrogates, workers=options.workers, asked=asked)
    return Plan(len(samples), len(samples), steps, options.budget)


def _sampled(options: Options, samples: Samples, plan: Plan) -> tuple[Options, Samples]:
    """The images of the plan, with their labels and confounders."""
    if plan.images == len(samples):
        return options, samples
    rows = spread(len(samples), plan.images, options.seed)

    def of(values: Sequence[str] | None) -> tuple[str, ...] | None:
        return None if values is None else tuple(values[i] for i in rows)

    names = tuple(samples.names[i] for i in rows)
    subset = Samples(samples.root, names, of(samples.labels), samples.in_memory)
    return replace(options, labels=of(options.labels), confounders=of(options.confounders)), subset


def _look(evidence: Evidence, steps: Steps, options: Options, store: Path, folder: Path) -> None:
    """Pairs, strategies and edges."""
    encoder, samples = evidence.encoder, evidence.samples

    def pairs(count: Count) -> None:
        size = encoder.preprocessing.size // _PATCHES
        workers = options.workers
        index = SimilarityIndex.build(
            encoder, samples, store / "index", patch_size=size, workers=workers, progress=count
        )
        evidence.pairs = suspicious_pairs(index, random_state=options.seed)
        evidence.index = index

    def strategies(count: Count) -> None:
        run = analyse(
            encoder,
            samples,
            labels=options.labels,
            n_surrogates=options.surrogates,
            path=store,
            workers=options.workers,
            progress=count,
        )
        run.save(folder / "strategies")
        evidence.run = run

    def edges(count: Count) -> None:  # noqa: ARG001, images are compared in seconds
        assert evidence.run is not None
        evidence.edges = edge_sites(evidence.run)

    steps.run("pairs", pairs)
    steps.run("strategies", strategies)
    if evidence.run is None:
        steps.skip("edges", "images are read with their maps, which there are none of")
    else:
        steps.run("edges", edges)


def _prove(evidence: Evidence, steps: Steps, options: Options, store: Path, most: int) -> None:
    """All artefacts, from all sources, in one family."""
    if evidence.run is None:
        steps.skip("proof", "there are no maps that images could be compared by")
        return

    def proof(count: Count) -> None:
        run, selected = suspects(evidence, seed=options.seed, most=most)
        evidence.run = run
        evidence.suspects = selected
        cases = [suspect.case for suspect in selected if suspect.case is not None]
        proofs = iter(proofs_of(evidence.encoder, cases, store, level=LEVEL, seed=options.seed, progress=count))
        evidence.suspects = [
            suspect if suspect.case is None else replace(suspect, proof=next(proofs)) for suspect in selected
        ]
        judged = {x.finding: x.proof for x in evidence.suspects if x.finding is not None and x.proof is not None}
        evidence.run = with_proofs(run, judged)

    steps.run("proof", proof)
    if steps.state("proof") == "done" and not any(suspect.proof for suspect in evidence.suspects):
        steps.skip("proof", "no set of images and no place called for one")


def _measure(evidence: Evidence, steps: Steps, options: Options, store: Path, folder: Path) -> None:
    """Traces of processing, the confounder, and a remedy of what is confirmed."""
    encoder, samples = evidence.encoder, evidence.samples

    def traces(count: Count) -> None:
        evidence.measures.append(trace_measures(encoder, samples, store, seed=options.seed, progress=count))

    def confounder(count: Count) -> None:  # noqa: ARG001, it is embedded in seconds
        measures = confounder_measures(encoder, samples, options.labels, options.confounders or (), seed=options.seed)
        evidence.measures.append(measures)

    def mitigation(count: Count) -> None:
        cases = [(x.case, x.proof) for x in evidence.confirmed if x.case is not None and x.proof is not None]
        repair = repaired(encoder, cases, store, level=LEVEL, seed=options.seed, progress=count)
        evidence.repair = repair
        if encoder.card is not None:  # without one a folder cannot tell how to build it
            save_encoder(repair.encoder, folder / REMEDY, evidence={"sentence": repair.sentence})

    steps.run("traces", traces)
    if options.confounders is not None:
        steps.run("confounder", confounder)
    if options.mitigate:
        if evidence.confirmed:
            steps.run("mitigation", mitigation)
        else:
            steps.skip("mitigation", "nothing is confirmed that it could be of")
