"""``report.html`` of a run: its numbers and pictures on one self-contained page."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from aetl.comparison.by_class import class_scores
from aetl.comparison.described import described
from aetl.comparison.run import Run, read_run, run_of
from aetl.files import read_json, write_text
from aetl.foreign import refuse_endless
from aetl.report import by_step
from aetl.report.canvas import svg
from aetl.report.figures import of_task, run_figures, save_figures
from aetl.report.markup import (
    Cell,
    Html,
    breakable,
    chips,
    document,
    facts,
    figure,
    folded,
    live_table,
    scrolled,
    section,
    tag,
)
from aetl.report.panel import budget_text, counted_in, signed
from aetl.secret import masked_yaml

PAGE = "report.html"

_RECEIPT = {
    "matched": "came from the pretraining",
    "missing": "were not in the pretraining",
    "skipped": "had another shape there",
    "frozen": "were kept as they were",
    "trainable": "were trained",
    "changed": "differ after the transfer",
}
_CAPTIONS = {
    "learning_curves": "Training and validation; dashed, its twin without pretraining.",
    "reconstructions": "Inputs of each domain and what the pretrained autoencoder makes of them.",
    "reconstructions_by_step": by_step.CAPTION,
    "samples": (
        "Drawn from the prior, where the loss names one, and from a mixture of normal "
        "distributions fitted to the latents of the training data."
    ),
    "samples_by_class": "Drawn for one class each, by the variant or by a mixture of its latents.",
    "interpolations": "From one held-out example to another, in equal steps of the latent.",
    "traversals": (
        "A held-out example with one latent moved by three standard deviations to either side: "
        "those latents that vary most."
    ),
    "latent_map": "Latent codes of the pretrained encoder on their two principal axes.",
    "confusion_matrix": "Target test examples, with counts; shaded by the share of the true class.",
    "predictions": "Target test examples against the line of no error.",
    "calibration": (
        "How many of the target's test examples with a probability like this are right; above the "
        "dotted line it is too cautious, below it too sure (15 parts, Guo et al. 2017)."
    ),
}
_CLASSES = (
    "Target test examples. Precision: how many that are said to be of the class are; recall: how "
    "many of the class are found; F1: their harmonic mean; support: how many there are."
)
_MEDIANS = (
    f"{_CAPTIONS['latent_map']} Labels are class medians: filled for the source, framed for the "
    "target."
)


def write_run_page(folder: Path, record: dict[str, Any] | None = None) -> Path:
    """Draw a run's ``figures/*.png`` and write its ``report.html``; what is missing is left out.

    ``record`` is what the folder's run.json will say, where the run has not ended yet. Raises
    RecordError where it is not given and cannot be read.
    """
    run = read_run(folder) if record is None else run_of(folder, record)
    classes = [str(name) for name in run.record.get("classes") or ()]
    task = str(run.record.get("task") or "")
    drawn = run_figures(folder, run.metric, classes, task)
    if (steps := by_step.drawn(folder)) is not None:
        drawn["reconstructions_by_step"] = steps
    save_figures(folder, drawn)
    own = of_task(task)
    captions = _CAPTIONS | ({} if own is None else own.CAPTIONS)
    captions |= {"latent_map": _MEDIANS} if "confusion_matrix" in drawn else {}
    figures = {
        name: figure(Html(svg(drawing, name.replace("_", " "))), captions[name])
        for name, drawing in drawn.items()
    }
    path = folder / PAGE
    title = f"{_arm(run)} on {run.target}"
    write_text(path, document(title, *_content(run, figures), script=True))
    return path


def _content(run: Run, figures: Mapping[str, Html | None]) -> Iterable[Html | None]:
    yield _header(run)
    yield _numbers(run)
    yield section("All metrics", _metrics(run))
    yield section("Learning curves", figures.get("learning_curves"))
    made = (figures.get(name) for name in ("reconstructions", "reconstructions_by_step"))
    yield section("Reconstructions", *made, _errors(run))
    names = ("samples", "samples_by_class", "interpolations", "traversals")
    drawings = [tag("div", figures[name]) for name in names if figures.get(name)]
    shown = tag("div", *drawings, class_="columns") if drawings else None
    yield section("Generated", shown, _distances(run))
    placed = {"learning_curves", "reconstructions", "reconstructions_by_step", *names}
    pair = [
        section(name[0].upper() + name[1:].replace("_", " "), drawn)
        for name, drawn in figures.items()
        if name not in placed
    ]
    pair.append(section("Classes", _classes(run), note=_CLASSES))
    if any(pair):
        yield tag("div", *pair, class_="columns")
    if data := described(run.record):
        yield section("Data", facts(data))
    yield section("What it cost", facts(_cost(run)))
    yield section("What moved", *_receipt(run.record.get("receipt") or {}))
    yield section("Settings", *_settings(run))
    yield section("Do it again", *_commands(run))
    yield section("Environment", facts(_environment(run.record)))


def _arm(run: Run) -> str:
    return f"{run.transfer}, {run.autoencoder}"


def _header(run: Run) -> Html:
    pairs = [
        ("transfer", run.transfer),
        ("autoencoder", run.autoencoder),
        ("loss", run.loss),
        ("budget", budget_text(run.budget, counted_in([run]))),
        ("selector", run.selector),
        ("seed", run.seed),
    ]
    error = None
    if run.status != "done":
        said = run.record.get("error")
        badge = tag("span", run.status, class_=f"badge {run.status}")
        error = tag("p", badge, " ", said if said else "This run has no result.")
    title = tag("h1", f"{run.source} → {run.target}")
    eyebrow = tag("p", "aetl run", class_="eyebrow")
    return tag("header", eyebrow, title, chips(pairs), error, *_warnings(run))


def _warnings(run: Run) -> Iterable[Html]:
    for line in run.record.get("warnings") or ():
        yield tag("p", tag("span", "warning", class_="badge failed"), " ", line)


def _numbers(run: Run) -> Html | None:
    """The score beside that of the twin, and the gain."""
    score, gain = run.scores.get(run.metric), run.gain(run.metric)
    if score is None:
        return None
    twin = run.twin.get(run.metric)
    better = "higher" if run.better(run.metric) > 0 else "lower"
    cards = [_card(run.metric, _number(score), f"{better} is better")]
    if twin is not None and run.transfer != f"control/{run.baseline}":
        cards.append(_card(_twin(run), _number(twin), "same network, split, budget and seed"))
        if gain is not None:
            look = "better" if gain > 0 else "worse" if gain < 0 else None
            said = "one seed; aetl compare judges over several"
            cards.append(_card("gain", signed(gain, _decimals(gain)), said, look))
    return tag("dl", *cards, class_="numbers")


def _twin(run: Run) -> str:
    return "from scratch" if run.baseline == "scratch" else run.baseline.replace("_", " ")


def _card(name: str, value: str, small: str, look: str | None = None) -> Html:
    number = tag("dd", tag("span", value, class_=look), tag("small", small))
    return tag("div", tag("dt", name), number, class_="card")


def _metrics(run: Run) -> Html | None:
    """All scores, where there is more than the one on top."""
    if len(run.scores) < 2:
        return None
    names = ("metric", "this arm", _twin(run), "gain", "better is")
    head = [tag("th", name, scope="col", class_="number" if 0 < i < 4 else None)
            for i, name in enumerate(names)]  # fmt: skip
    body = [_metric(run, name) for name in run.scores]
    return scrolled(tag("table", tag("thead", tag("tr", *head)), tag("tbody", *body)))


def _metric(run: Run, name: str) -> Html:
    gain = run.gain(name)
    values = (
        _number(run.scores[name]),
        _number(run.twin[name]) if name in run.twin else "",
        "" if gain is None else signed(gain, _decimals(gain)),
    )
    better = "higher" if run.better(name) > 0 else "lower"
    numbers = (tag("td", value, class_="number") for value in values)
    return tag("tr", tag("th", name, scope="row"), *numbers, tag("td", better))


def _classes(run: Run) -> Html | None:
    """Precision, recall and F1 of each class; None for tasks without, and for files that cannot be
    read."""
    if run.record.get("task", "classification") not in ("classification", "multilabel"):
        return None
    names = [str(name) for name in run.record.get("classes") or ()]
    try:
        refuse_endless(run.folder / "predictions.npz")
        with np.load(run.folder / "predictions.npz", allow_pickle=False) as file:
            y, own, twin = (file[name] for name in ("y", "prediction", "twin_prediction"))
        if not names or not np.issubdtype(y.dtype, np.integer):
            return None
        found, others = (class_scores(y, said, len(names)) for said in (own, twin))
    except (OSError, ValueError, KeyError, BadZipFile):
        return None
    columns = [("class", False), ("precision", True), ("recall", True), ("F1", True)]
    columns += [(f"F1 {_twin(run)}", True), ("support", True)]
    body = [
        (
            [
                Cell(breakable(name)),
                *map(_share, (one.precision, one.recall, one.f1, other.f1)),
                Cell(one.support, number=True),
            ],
            "",
        )
        for name, one, other in zip(names, found, others, strict=False)
    ]
    return live_table("classes", columns, body)


def _share(value: float | None) -> Cell:
    if value is None:
        return Cell("–", "", number=True)
    style = f"--share: {value:.3f}"
    return Cell(tag("span", f"{value:.3f}", class_="meter", style=style), value, number=True)


def _errors(run: Run) -> Html | None:
    errors: Mapping[str, float] = run.record.get("reconstruction") or {}
    if not errors:
        return None
    said = ", ".join(f"{domain} {_shown(error, '.5f')}" for domain, error in errors.items())
    told = [f"Mean squared error per element: {said}."]
    if bits := run.record.get("bits_per_dim"):
        told.append(
            f"At most {_shown(bits['value'], '.4f')} bits/dim ({bits['bound']}, {bits['data']})."
        )
    if signs := run.record.get("monitor"):
        named = (
            f"{name.replace('_', ' ')} {_shown(value, '.4g')}" for name, value in signs.items()
        )
        told.append(f"On held-out source data: {', '.join(named)}.")
    return tag("p", " ".join(told), class_="note")


def _distances(run: Run) -> Html | None:
    """By what samples are judged, and how far those of `aetl generate` are from the data."""
    told = []
    if judged := run.record.get("sampled"):
        told.append(f"fid and kid are of {_of_draws(judged)}.")
    try:
        refuse_endless(run.folder / "generated.json")
        found = read_json(run.folder / "generated.json")
        several = (
            f"{name}: FID {_shown(one['fid'], '.4g')}, KID {_shown(one['kid'], '.4g')}"
            for name, one in found["distances"].items()
        )
        told.append(f"Of the pretrained autoencoder, {'; '.join(several)} ({_of_draws(found)}).")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # nobody asked for them, or they cannot be read
    return tag("p", " ".join(told), class_="note") if told else None


def _of_draws(judged: Mapping[str, Any]) -> str:
    return (
        f"{judged['number']} draws of the prior beside as many examples, in {judged['features']} "
        f"features (encoder: {judged['encoder']})"
    )


def _cost(run: Run) -> dict[str, object]:
    """Cost, what the source keeps, and what the best state by its test score would have scored."""
    record = run.record
    cost, kept = (record.get(name) or {} for name in ("cost", "retention"))
    oracle = (record.get("oracle") or {}).get(run.metric)
    found: dict[str, object] = {
        counted_in([run]): record.get("labels"),
        "parameters trained": f"{cost['parameters_trained']:,}" if cost else None,
        "seconds of the transfer": f"{cost['seconds']:.1f}" if cost else None,
        "oracle": None
        if oracle is None
        else f"{_number(oracle)} {run.metric}, the best state by "
        "its test score, by which nothing was chosen",
    }
    names = {
        "reconstruction": "the source's reconstruction error",
        "score": "a probe on the source",
    }
    for part, name in names.items():
        if pair := kept.get(part):
            found[name] = f"{_number(pair['before'])} before, {_number(pair['after'])} after"
    if kept.get("changed") is False:
        found["the source"] = "is kept as it was: the autoencoder did not change"
    return found


def _receipt(receipt: Mapping[str, Any]) -> Iterable[Html | None]:
    for part, meaning in _RECEIPT.items():
        if names := receipt.get(part):
            count = f"{len(names)} tensor{'s' if len(names) > 1 else ''} {meaning}"
            yield folded(count, names)
    rest = {
        name.replace("_", " "): f"{value:,.10g}"
        for name, value in receipt.items()
        if name not in _RECEIPT and isinstance(value, int | float)
    }
    yield facts(rest)


def _settings(run: Run) -> Iterable[Html | None]:
    record = run.record
    choices = {k: v for k, v in (record.get("choices") or {}).items() if v is not None}
    yield facts({name: v for name, v in choices.items() if not name.startswith("hydra")})
    try:
        refuse_endless(run.folder / "config.yaml")
        text = (run.folder / "config.yaml").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    yield tag(
        "details", tag("summary", "The whole config"), tag("pre", tag("code", masked_yaml(text)))
    )


def _commands(run: Run) -> Iterable[Html | None]:
    if run.status == "done":
        yield _shell(["aetl", "rerun", _near(run.folder), "--check"])
    command = [str(word) for word in run.record.get("command") or ()]
    by_hand = ["aetl", *map(str, run.record.get("overrides") or ())]
    if run.record.get("overrides"):
        yield tag("p", "or, from the config as it is now,", class_="note")
        yield _shell(by_hand)
    if command and command[1:] != by_hand[1:]:
        yield tag("p", "It was started by", class_="note")
        yield _shell([Path(command[0]).name, *command[1:]])


def _near(folder: Path) -> str:
    """The path as one would type it here."""
    relative = os.path.relpath(folder)
    return os.path.abspath(folder) if relative.startswith("..") else relative


def _shell(words: Sequence[str]) -> Html:
    return tag("pre", tag("code", shlex.join(words)))


def _environment(record: Mapping[str, Any]) -> dict[str, object]:
    git = record.get("git") or {}
    commit = str(git.get("commit") or "")
    return {
        "started": record.get("started"),
        "ended": record.get("ended"),
        "seconds": _listed(record.get("seconds"), "{:.1f}"),
        "from the store": ", ".join(k for k, v in (record.get("reused") or {}).items() if v),
        "code": f"{commit[:12]}{' with changes' if git.get('dirty') else ''}",
        "versions": _listed(record.get("versions")),
        "hardware": _listed(record.get("hardware")),
        "data fingerprints": _listed(record.get("fingerprints")),
        "store": _listed(record.get("parents")),
    }


def _listed(values: Mapping[str, Any] | None, form: str = "{}") -> str:
    pairs = (
        (k, ", ".join(map(str, v)) if isinstance(v, list) else v) for k, v in (values or {}).items()
    )
    return ", ".join(
        f"{key} {form.format(value)}" for key, value in pairs if value not in (None, "")
    )


def _shown(value: float | None, form: str) -> str:
    """A number of the record, which is null where there was no finite one."""
    return "undefined" if value is None else format(value, form)


def _number(value: float) -> str:
    return f"{value:.{_decimals(value)}f}"


def _decimals(value: float) -> int:
    """Three, or as many as show three digits of a small number."""
    if value != value or abs(value) in (0.0, float("inf")) or abs(value) >= 0.001:
        return 3
    return min(9, 2 - int(f"{value:e}".partition("e")[2]))
