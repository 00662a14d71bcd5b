"""What trains whole trains at the full rate: no strategy scales it by a number of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hydra.utils import instantiate

from tests.transfer.build import small_network

CONF = Path(__file__).parents[3] / "conf" / "transfer" / "parameter"


@pytest.mark.parametrize("name", ["bitfit", "norm_only", "finetune", "l2_sp", "bss", "adabn"])
def test_groups_without_a_scale_of_the_config_train_at_the_full_rate(name: str) -> None:
    strategy = instantiate(yaml.safe_load((CONF / f"{name}.yaml").read_text()))
    network = small_network("conv")
    strategy.adapt(network)
    for group in strategy.groups(network) or []:
        assert [group.at(progress) for progress in (0.0, 0.5, 1.0)] == [1.0] * 3
