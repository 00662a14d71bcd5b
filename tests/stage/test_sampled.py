"""FID and KID: by whose features, for which arms, and who is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from aetl.cli import main
from aetl.comparison.examples import read_examples
from aetl.files import read_json
from aetl.metric.fid import frechet_distance
from aetl.metric.kid import kernel_distance
from aetl.rng import Rng
from aetl.stage.evaluate import metrics_of
from aetl.stage.fits import refuse_misfit
from aetl.stage.pretrain import build_autoencoder, objective_of, pretrained_autoencoder
from aetl.stage.sampled import encoder_of, sampled, samples
from aetl.types import DoesNotFit, UserError
from tests.tiny import MLP, SMALL, World

DENSITY = (*MLP, "task=density", "autoencoder=vae", "task.samples=3", "source.binarise=fixed",
           "target.binarise=fixed", "metric=[nats,fid,kid]")  # fmt: skip


def refused(world: World) -> None:
    refuse_misfit(world.cfg, world.domains, world.domains.source)


def test_samples_are_the_means_of_what_the_prior_decodes_to(tmp_path: Path) -> None:
    world = World(tmp_path, *DENSITY)
    model, objective = build_autoencoder(world.cfg, (1, 8, 8)).eval(), objective_of(world.cfg)
    x = samples(model, objective, 30, Rng.of(3))
    with torch.no_grad():
        z = Rng.of(3).normal(torch.empty(30, 4))
        torch.testing.assert_close(x, objective.mean(model.decode(z)))
    plain = World(tmp_path, *MLP)
    assert (
        samples(build_autoencoder(plain.cfg, (1, 8, 8)), objective_of(plain.cfg), 3, Rng.of(0))
        is None
    )


def test_arm_and_twin_are_judged_by_one_encoder(tmp_path: Path) -> None:
    world = World(tmp_path, *DENSITY, "task.encoder=own")
    pretrained = world.pretrain()
    own = pretrained_autoencoder(world.cfg, (1, 8, 8), pretrained.state)
    twin = {"control": world.cfg.twin}
    arms = {"transfer": world.transfer(), "twin": world.transfer(twin)}
    found, told = sampled(world.cfg, metrics_of(world.cfg), world.domains, own, arms)
    test = world.domains.target.test
    with torch.no_grad():
        features = own.features(test.inputs()).double().numpy()
    np.testing.assert_allclose(found["transfer"]["features"], features, atol=1e-6)
    np.testing.assert_array_equal(found["twin"]["features"], found["transfer"]["features"])
    assert not np.array_equal(found["twin"]["drawn"], found["transfer"]["drawn"])
    assert found["twin"]["drawn"].shape == features.shape
    assert told == {"encoder": "own", "features": 4, "number": len(test)}
    raw = world.but("task.encoder=raw")
    assert raw.transfer().digest == arms["transfer"].digest  # nothing is trained anew
    found, told = sampled(raw.cfg, metrics_of(raw.cfg), raw.domains, own, arms)
    np.testing.assert_array_equal(found["twin"]["features"],
                                  test.inputs().flatten(1).double().numpy())  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("pages")
def test_a_run_has_them_in_its_record_and_on_its_page(tmp_path: Path) -> None:
    out = [*SMALL, f"output_dir={tmp_path}"]
    assert main([*out, *DENSITY]) == 0
    (first,) = (path.parent for path in tmp_path.glob("2*/*/run.json"))
    record = read_json(first / "run.json")
    assert record["sampled"]["encoder"] == "raw"
    values = read_examples(first, record["examples"])
    for name in ("fid", "kid"):
        assert np.isfinite(record["scores"][name])
        assert record["scores"][name] != record["twin"][name]
        assert record["gain"][name] == pytest.approx(record["twin"][name] - record["scores"][name])
        assert np.isfinite(values[f"value.{name}.arm"]).all()
    assert (
        f"fid and kid are of {record['sampled']['number']} draws"
        in (first / "report.html").read_text()
    )
    assert main(["rerun", str(first), "--check"]) == 0
    assert main([*out, *DENSITY, f"task.encoder={first}"]) == 0
    assert main([*out, *DENSITY, f"task.encoder={first}/checkpoints/autoencoder.pt"]) == 0
    others = [read_json(p) for p in tmp_path.glob("2*/*/run.json")]
    by = {r["sampled"]["encoder"]: r for r in others}
    one, other = (by[str(name)]["scores"] for name in
                  (first, first / "checkpoints" / "autoencoder.pt"))  # fmt: skip
    assert one == other != record["scores"]
    assert one["nats"] == record["scores"]["nats"]


@pytest.mark.parametrize(
    "keys, said",
    [
        (("task.encoder=own", "transfer=control/scratch"), "nothing is pretrained in this run"),
        (("task.encoder=/no/such",), "is no run's folder and no file"),
        (("metric=[fid]", "selector=target_validation"), "metric=[nats,fid]"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_a_line(
    keys: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        refused(World(tmp_path, *DENSITY, *keys))
    assert said in str(caught.value)


def test_an_encoder_of_other_examples_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path, *DENSITY)
    other = tmp_path / "run"
    (other / "checkpoints").mkdir(parents=True)
    from omegaconf import OmegaConf

    (other / "config.yaml").write_text(OmegaConf.to_yaml(world.cfg, resolve=True))
    torch.save(build_autoencoder(world.cfg, (1, 6, 6)).state_dict(),
               other / "checkpoints" / "autoencoder.pt")  # fmt: skip
    with pytest.raises(UserError, match="made for other examples"):
        encoder_of(world.cfg, str(other), None, (1, 8, 8))
    assert encoder_of(world.cfg, str(other), None, (1, 6, 6)).autoencoder is not None


def test_a_model_that_names_no_prior_is_refused(tmp_path: Path) -> None:
    from aetl.stage.sampled import refuse_unsampled

    world = World(tmp_path, *MLP, "task=density", "autoencoder=vae", "loss=[gaussian]",
                  "metric=[nats,fid]")  # fmt: skip
    with pytest.raises(DoesNotFit, match="names no prior"):
        refuse_unsampled(world.cfg, world.domains)


@pytest.mark.slow
@pytest.mark.usefixtures("pages")
def test_generate_tells_how_far_samples_are_from_held_out_examples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = [*SMALL, *MLP, "autoencoder=vae", "source.size=400", f"output_dir={tmp_path}"]
    assert main(tiny) == 0
    (run,) = (path.parent for path in tmp_path.glob("2*/*/run.json"))
    assert main(["generate", str(run), "--encoder", "own"]) == 0
    said = capsys.readouterr().out
    assert "prior: FID " in said
    assert "mixture: FID " in said
    judged = read_json(run / "generated.json")
    assert judged["encoder"] == "own"
    assert judged["features"] == 4
    assert "Of the pretrained autoencoder, prior: FID" in (run / "report.html").read_text()
    assert main(["generate", str(run), "--encoder", "nowhere"]) == 2
    assert main(["generate", str(run)]) == 0
    assert not (run / "generated.json").exists()


def test_both_distances_are_those_of_the_metrics() -> None:
    from aetl.stage.sampled import distances

    x, other = np.random.default_rng(0).normal(size=(2, 20, 3))
    assert distances(x, other) == {
        "fid": frechet_distance(x, other), "kid": kernel_distance(x, other)
    }  # fmt: skip
