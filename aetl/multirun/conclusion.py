"""What a study has found: its best trials and which hyper-parameters mattered, as files."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetl.files import write_json
from aetl.multirun.manifest import Manifest, shown
from aetl.multirun.space import shown_override

if TYPE_CHECKING:
    import optuna

STUDY, IMPORTANCE = "study.json", "importance.json"
FEWEST = 4
"""Complete trials below which importances say nothing."""


def conclude(study: optuna.Study, manifest: Manifest) -> list[str]:
    """Write ``study.json`` and ``importance.json`` into the sweep's folder; the lines to print."""
    names = list(study.metric_names or [])
    counts = dict.fromkeys(("COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING"), 0)
    for trial in study.get_trials(deepcopy=False):
        counts[trial.state.name] += 1
    best = [_trial(trial, names) for trial in study.best_trials]
    write_json(
        manifest.folder / STUDY,
        {
            "study": study.study_name,
            "objective": dict(zip(names, [d.name.lower() for d in study.directions], strict=True)),
            "trials": counts,
            "best": best,
        },
    )
    write_json(manifest.folder / IMPORTANCE, importances(study))
    lines = [line for trial in best for line in _lines(trial, manifest)]
    own = manifest.folder / "study.db"
    return [*lines, f"optuna-dashboard sqlite:///{own.absolute()}"] if own.exists() else lines


def importances(study: optuna.Study) -> dict[str, dict[str, dict[str, float]]]:
    """For each objective, by fANOVA (Hutter, Hoos and Leyton-Brown, ICML 2014) and by PED-ANOVA
    (Watanabe, Bansal and Hutter, IJCAI 2023): each parameter's share, summing to 1. Empty with
    fewer than ``FEWEST`` complete trials, or where nothing varies."""
    import optuna.importance as library

    kinds = {
        "fanova": library.FanovaImportanceEvaluator(seed=0),
        "ped_anova": library.PedAnovaImportanceEvaluator(),
    }
    found: dict[str, dict[str, dict[str, float]]] = {}
    complete = [t for t in study.get_trials(deepcopy=False) if t.state.name == "COMPLETE"]
    for number, name in enumerate(study.metric_names or []):
        found[name] = {}
        if len(complete) < FEWEST or len({t.values[number] for t in complete}) < 2:
            continue
        for kind, evaluator in kinds.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                values = library.get_param_importances(
                    study, evaluator=evaluator, target=partial(_value, number)
                )
            found[name][kind] = {key: float(value) for key, value in values.items()}
    return found


def _value(number: int, trial: optuna.trial.FrozenTrial) -> float:
    return float(trial.values[number])


def _trial(trial: optuna.trial.FrozenTrial, names: list[str]) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "values": dict(zip(names, trial.values, strict=True)),
        "params": trial.params,
        **trial.user_attrs,
    }


def _lines(trial: Mapping[str, Any], manifest: Manifest) -> list[str]:
    """A best trial for people, with the command that does it again."""
    values = "  ".join(f"{name} {value:.4g}" for name, value in trial["values"].items())
    tests = "  ".join(f"{k} {v:.4g}" for k, v in trial.items() if k.startswith("test "))
    params = " ".join(shown_override(key, value) for key, value in trial["params"].items())
    folder = Path(manifest.folder, trial.get("folder", ""))
    head = f"best: trial {trial['trial']}  {values}  {tests}".rstrip()
    return [head, f"  {params}", f"  aetl rerun {shown(folder)}"]
