"""A race over runs that are there, beside the same seeds for all: decisions and runs.

    python -m tests.comparison.race_replay PATH ... [-- ARM ...]

The runs of each source, target and budget are a family of its own; controls but raw features are
left out, and so are arms that are not named, where some are.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence

from omegaconf import OmegaConf

from aetl.comparison.gain import Gain, gain_of, read_values
from aetl.comparison.race import Arm, Plan, judge
from aetl.comparison.run import Run, find_runs
from aetl.comparison.statistics import ALPHA, holm
from aetl.config import conf_dir


def default_plan() -> Plan:
    node = OmegaConf.load(conf_dir() / "hydra" / "sweeper" / "race.yaml")
    return Plan(tuple(node.looks), node.rho, node.futility)


def gain(runs: Sequence[Run]) -> Gain:
    metric = runs[0].metric
    found = gain_of(runs, metric, read_values(runs, metric), None, of_itself=False)
    assert found is not None
    return found


def with_all(gains: Mapping[str, Gain]) -> dict[str, str]:
    """The verdict of each arm with all its seeds, after Holm; none where it does not stand."""
    adjusted = dict(zip(gains, holm([g.p_value for g in gains.values()]), strict=True))
    found: dict[str, str] = {}
    for name, one in gains.items():
        p = adjusted[name]
        stands = one.verdict == "equivalent" or (p is not None and p <= ALPHA)
        found[name] = one.verdict if stands and one.verdict != "undecided" else "open"
    return found


def raced(arms: Mapping[str, Sequence[Run]], plan: Plan) -> tuple[dict[str, Arm], int]:
    """How each arm ended, and how many runs that took."""
    state = {name: Arm() for name in arms}
    spent = 0
    for look, seeds in enumerate(plan.looks):
        going = [name for name in arms if state[name].outcome is None]
        spent += len(going) * (seeds - (plan.looks[look - 1] if look else 0))
        state = judge(state, {name: gain(arms[name][:seeds]) for name in going}, look, plan)
    return state, spent


def main(arguments: Sequence[str]) -> None:
    paths = list(arguments)
    cut = paths.index("--") if "--" in paths else len(paths)
    paths, named = paths[:cut], paths[cut + 1 :]
    families: dict[tuple[str, str, int | str], dict[str, dict[int, Run]]] = defaultdict(dict)
    for run in find_runs(paths).done:
        control = run.transfer.startswith("control/") and run.transfer != "control/raw_features"
        if control or (named and run.transfer not in named):
            continue
        family = run.source, run.target, run.budget
        families[family].setdefault(run.transfer, {})[run.seed] = run
    plan = default_plan()
    print(plan)
    total = most = same = count = 0
    for family, found in sorted(families.items(), key=str):
        arms = {
            name: [runs[seed] for seed in sorted(runs)][: plan.looks[-1]]
            for name, runs in sorted(found.items())
            if len(runs) >= plan.looks[-1]
        }
        if not arms:
            continue
        truth = with_all({name: gain(runs) for name, runs in arms.items()})
        state, spent = raced(arms, plan)
        print(*family)
        for name, arm in state.items():
            said = arm.outcome if arm.outcome not in (None, "futile") else "open"
            at = plan.looks[-1] if arm.look is None else plan.looks[arm.look]
            p = gain(arms[name]).p_value
            print(f"  {name:<32} {arm.outcome or 'open':<11} at {at:>2}   all: {truth[name]}, {p=}")
            same, count = same + (said == truth[name]), count + 1
        total, most = total + spent, most + len(arms) * plan.looks[-1]
        print(f"  {spent} of {len(arms) * plan.looks[-1]} runs")
    print(f"{total} of {most} runs ({total / max(1, most):.0%}), {same} of {count} decisions alike")


if __name__ == "__main__":
    main(sys.argv[1:])
