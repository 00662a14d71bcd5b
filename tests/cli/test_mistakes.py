"""Every mistake on the command line is one line with the right way, and exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from aetl.cli import main
from aetl.command import verbs
from aetl.config import compose

TOLD = [
    (["transfer=finetune"], "did you mean 'parameter/finetune'?"),
    (["transfer=Fine_tune"], "did you mean 'parameter/finetune'?"),
    (["autoencoder=VAE"], "did you mean 'vae'?"),
    (["dataset=mnist"], "dataset@source=..."),
    (["source=mnist"], "dataset@source=..."),
    (["target=usps"], "dataset@target=..."),
    (["budget=20"], "target.budget"),
    (["lr=0.1"], "did you mean optimizer.lr?"),
    (["epochs=3"], "pretrain.epochs or finetune.epochs"),
    (["latent_dim=3"], "did you mean bottleneck.latent_dim?"),
    (["rotation=30"], "target.shift.rotation"),
    (["latent_dims=3"], "bottleneck.latent_dim"),
    (["optimizr.lr=1"], "optimizer.lr"),
    (["source.path=/x"], "is a key with dataset@source=audio_folder or image_folder or npz or"),
    (["dataset@source=npz"], "source.path: is missing; set source.path=..."),
    (["seed=0,1"], "several values are a multirun: aetl -m seed=0,1"),
    (["tags=a,b"], "a list has brackets: 'tags=[a,b]'"),
    (["project=a,b"], "as one text: 'project=\"a,b\"'"),
    (["project=a(b"], "as a text: 'project=\"a(b\"'"),
    (["project=it's"], "as a text: "),
    (["source.path=/tmp/a b(c)"], "as a text: "),
    (["transfer=[parameter/finetune"], "a bracket is not closed"),
    (["loss=null"], "loss=null: is no choice; at least one is needed, and loss=[...] is several"),
    (["check", "score=null"], "score=null: is no choice; score=[] is none"),
    (["seed=0", "seed"], "seed: expected KEY=VALUE, as in seed=..."),
    (["seed=0", "seed 1"], "seed 1: expected KEY=VALUE, as in seed=..."),
    (["=1"], "=1: expected KEY=VALUE"),
    (["+seed=1"], "the key is there already; leave out the +"),
    (["--seed=1"], "a key has no dashes: seed=1"),
    (["--mutirun", "seed=1"], "did you mean '--multirun'?"),
    (["--autoencoder", "vae"], "--autoencoder: no such option; a key has no dashes: autoencoder="),
    (["autoencoder", "vae"], "expected KEY=VALUE without blanks, as in autoencoder=vae"),
    (["autoencoder:vae"], "as in autoencoder=vae"),
    (["target.budget", "=", "20"], "as in target.budget=20"),
    (["seed:", "20"], "as in seed=20"),
    (["run", "seed=1"], "run: no such command; a run has none: aetl seed=1"),
    (["train", "autoencoder=vae"], "a run has none: aetl autoencoder=vae"),
    (["chek", "seed=1"], "did you mean 'check'?"),
    (["autoencoder="], "autoencoder=: no such option; known: aae"),
    (["model=vae"], "model: unknown key; did you mean autoencoder=vae?"),
    (["data=mnist"], "did you mean dataset@source=mnist or dataset@target=mnist?"),
    (["control=scratch"], "did you mean transfer=control/scratch or "),
    (["gpu=0"], "did you mean trainer=gpu?"),
    (["image_size=32"], "source.image_size is a key with dataset@source="),
    (["metric=f1"], "did you mean 'macro_f1'?"),
    (["dataset@source=./images"], "no such option; files of your own are "),
    (["dataset@target=/no/images"], "no such option; files of your own are "),
    (["dataset@source=imagefolder"], "did you mean 'image_folder'?"),
    (["target.budget=ten"], "target.budget='ten': expected integer"),
    (["target.budget=-1"], "target.budget=-1: expected integer from 0"),
    (["target.budget=0.1"], "target.budget=0.1: expected integer"),
    (["pretrain.lr=1e-3,1e-4"], "several values are a multirun: aetl -m pretrain.lr=1e-3,1e-4"),
    (["optimizer=Adam"], "did you mean 'adam'?"),
    (["compare", "/no/such"], "/no/such: no such folder"),
    (["predict", "/no/such"], "/no/such: not a run's folder"),
    (["guide", "nothing"], "guide nothing: no such guide; known: autoencoder"),
    (["--config-dir"], "--config-dir: expects a value"),
    (["check", "--config-dir", "/no/such", "seed=1"], "--config-dir=/no/such: no such folder"),
    (["check", "transfer=finetune"], "did you mean 'parameter/finetune'?"),
    (["check", "finetune.max_steps=-1"], "finetune.max_steps=-1: expected integer from 0"),
    (["check", "output_dir=/dev/null/x"], "output_dir=/dev/null/x: "),
    (["check", "store.dir=/dev/null/x"], "store.dir=/dev/null/x: "),
    (["check", "logger.wandb.mode=3"], "logger.wandb.mode=3: "),
    (["logger=none", "-m", "seed=0,1", "transfer=fintune"], "did you mean 'parameter/finetune'?"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "way"), TOLD, ids=[" ".join(a) for a, _ in TOLD])
def test_a_mistake_is_told_with_the_right_way(
    arguments: list[str], way: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert way in line
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("verb", [verb for verb in verbs() if not verb.startswith("_")])
def test_an_argument_that_a_command_lacks_is_one_line(
    verb: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "--no-such-thing"]) == 2
    assert len(capfd.readouterr().err.strip().splitlines()) == 1


def test_the_version_is_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("aetl ")


@pytest.mark.parametrize("name", ["a b", "a,b", "a'b", "[a]", 'a"b', "a=b"])
def test_options_of_ones_own_are_found_in_any_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    (folder / "metric").mkdir(parents=True)
    (folder / "metric" / "mine.yaml").write_text("defaults: [accuracy]\n")
    assert "accuracy" in compose(["metric=mine"], [str(folder)]).metric


def test_the_home_folder_is_expanded_in_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "o'home"))
    assert main(["dataset@source=npz", "source.path=~/none.npz", "logger=none"]) == 2
    assert f"{tmp_path}/o'home/none.npz" in capfd.readouterr().err
