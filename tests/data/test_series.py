"""Own series: every format is the same data, unequal lengths are a mask, windows have groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from aetl.data.align import align
from aetl.data.base import Examples
from aetl.data.loader import Loader
from aetl.data.scale import Scale
from aetl.loss.mse import SquaredError
from aetl.loss.objective import Objective
from aetl.rng import Rng
from aetl.types import UserError

RNG = np.random.default_rng(0)
N, C, L = 12, 2, 9
X = RNG.normal(size=(N, C, L)).astype(np.float32).round(3)
Y = np.arange(N) % 3
SITE = np.where(np.arange(N) < 6, "A", "B")


def ts(x: np.ndarray, y: np.ndarray, lengths: Any = None) -> str:
    lines = [
        "# a remark",
        "@problemName own",
        "@timeStamps false",
        "@classLabel true 0 1 2",
        "@data",
    ]
    for k, (signal, label) in enumerate(zip(x, y, strict=True)):
        stop = None if lengths is None else lengths[k]
        channels = [",".join(str(v) for v in channel[:stop]) for channel in signal]
        lines.append(":".join([*channels, str(label)]))
    return "\n".join(lines) + "\n"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    np.savez(tmp_path / "own.npz", x=X, y=Y, site=SITE)
    (tmp_path / "own.ts").write_text(ts(X, Y))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "own_TRAIN.ts").write_text(ts(X[:8], Y[:8]))
    (tmp_path / "set" / "own_TEST.ts").write_text(ts(X[8:], Y[8:]))
    rows = [
        {"who": f"r{n:02d}", "t": t, "site": SITE[n], "kind": int(Y[n]), "a": X[n, 0, t],
         "b": X[n, 1, t]}
        for n in range(N) for t in range(L)
    ]  # fmt: skip
    frame = pd.DataFrame(rows).sample(frac=1, random_state=0)
    frame.to_csv(tmp_path / "own.csv", index=False)
    return {name: str(tmp_path / name) for name in ("own.npz", "own.ts", "own.csv", "set")}


LONG = {"id": "who", "time": "t", "target": "kind", "scale": "none"}


@pytest.mark.parametrize("name", ["own.npz", "own.ts", "own.csv"])
def test_every_format_is_the_same_data(build, files: dict[str, str], name: str) -> None:
    pool, test = build("series", path=files[name], **(LONG if name == "own.csv" else {})).read()
    assert test is None
    assert pool.kind == "series"
    np.testing.assert_allclose(pool.x, X, atol=1e-6)
    assert [pool.classes[y] for y in pool.y] == [str(y) for y in Y]


def test_a_folder_has_the_official_test_set(build, files: dict[str, str]) -> None:
    pool, test = build("series", path=files["set"]).read()
    np.testing.assert_allclose(pool.x, X[:8], atol=1e-6)
    np.testing.assert_allclose(test.x, X[8:], atol=1e-6)


def test_domains_and_groups_are_columns(build, files: dict[str, str]) -> None:
    for name, keys in (("own.npz", {}), ("own.csv", LONG)):
        pool, _ = build("series", path=files[name], where="site=B", **keys).read()
        np.testing.assert_allclose(pool.x, X[6:], atol=1e-6)
    pool, _ = build("series", path=files["own.npz"], group="site").read()
    assert len(set(pool.group[:6])) == len(set(pool.group[6:])) == 1
    one, _ = build("series", path=files["own.ts"], where="label=2").read()
    np.testing.assert_allclose(one.x, X[Y == 2], atol=1e-6)


def test_windows_of_a_recording_stay_on_one_side(build, files: dict[str, str]) -> None:
    data = build("series", path=files["own.npz"], window=4, stride=2, scale="none")
    pool, _ = data.read()
    assert len(pool) == N * 3
    np.testing.assert_allclose(pool.x[4], X[1, :, 2:6])
    assert pool.y[3:6].tolist() == [1, 1, 1]
    assert pool.group.tolist() == np.repeat(np.arange(N), 3).tolist()
    train, test = data.load()
    assert not set(train.group) & set(test.group)


@pytest.fixture
def uneven(build, tmp_path: Path) -> tuple[Any, np.ndarray]:
    lengths = RNG.integers(3, L + 1, N)
    lengths[0] = L
    (tmp_path / "own.ts").write_text(ts(X, Y, lengths))
    return build("series", path=str(tmp_path / "own.ts"), scale="none"), lengths


def test_what_is_absent_is_zero_to_networks_and_masked(uneven) -> None:
    data, lengths = uneven
    pool, _ = data.read()
    assert pool.has_holes
    there = np.arange(L)[None, None] < lengths[:, None, None]
    np.testing.assert_allclose(pool.inputs(), np.where(there, X, 0), atol=1e-6)
    loader = Loader(pool, np.arange(N), batch_size=5, rng=Rng.of(0), shuffle=True)
    for batch in loader:
        wanted = np.broadcast_to(there[batch.index], batch.x.shape)
        np.testing.assert_array_equal(batch.mask, wanted)
        assert torch.isfinite(batch.x).all()


def test_losses_count_what_is_there_alone() -> None:
    x, mask = torch.rand(3, 2, 5, dtype=torch.double), torch.rand(3, 2, 5) < 0.6
    reconstruction = torch.rand(3, 2, 5, dtype=torch.double, requires_grad=True)
    objective = Objective({"reconstruction": SquaredError(weight=1.0)})
    fields = {"x": x * mask, "reconstruction": reconstruction, "mask": mask}
    total, _ = objective(fields, 0.0)
    wanted = ((reconstruction - x).square() * mask).flatten(1).sum(1)
    torch.testing.assert_close(total, wanted)
    (gradient,) = torch.autograd.grad(total.sum(), reconstruction)
    torch.testing.assert_close(gradient, 2 * (reconstruction - x) * mask)
    whole, _ = objective(fields | {"mask": None}, 0.0)
    assert (whole > total).any()


@pytest.mark.parametrize("method", ["standard", "unit", "robust", "sample"])
def test_a_scale_is_fitted_on_what_is_there(uneven, method: Any) -> None:
    data, lengths = uneven
    pool, _ = data.read()
    scaled = Scale.fit(pool.x, method)(pool.x).numpy()
    there = np.arange(L)[None, None] < lengths[:, None, None]
    assert np.isnan(scaled[np.broadcast_to(~there, scaled.shape)]).all()
    for k in range(C):
        values = [X[n, k, : lengths[n]] for n in range(N)]
        flat, found = np.concatenate(values).astype(float), scaled[:, k][there[:, 0]]
        if method == "standard":
            np.testing.assert_allclose(found, (flat - flat.mean()) / flat.std(), atol=1e-5)
        elif method == "unit":
            wanted = (flat - flat.min()) / (flat.max() - flat.min())
            np.testing.assert_allclose(found, wanted, atol=1e-5)
        elif method == "robust":
            low, middle, high = np.quantile(flat, (0.25, 0.5, 0.75))
            np.testing.assert_allclose(found, (flat - middle) / (high - low), atol=1e-5)
    if method == "sample":
        whole = X[1, :, : lengths[1]].astype(float)
        wanted = (whole - whole.mean()) / whole.std()
        np.testing.assert_allclose(scaled[1, :, : lengths[1]], wanted, atol=1e-5)


def test_series_take_the_length_of_the_source() -> None:
    x = torch.linspace(0, 3, 4).repeat(2, 1, 1)
    examples = Examples.of(x, torch.zeros(2, dtype=torch.int64), ("a",))
    found = align(examples, (1, 7))
    torch.testing.assert_close(found.x[0, 0], torch.linspace(0, 3, 7))
    assert any("stretched to 7" in line for line in found.notes)
    with pytest.raises(UserError, match="as many channels"):
        align(examples, (2, 7))


@pytest.mark.parametrize(
    "name, text, keys, said",
    [
        ("own.ts", "@classLabel true a\n@data\n", {}, "holds no series after @data"),
        ("own.ts", "@classLabel true a\n@data\n1,x:a\n", {}, "line 3 holds what is no number"),
        ("own.ts", "@classLabel true a\n@data\n1,2:1,2:a\n1,2:a\n", {}, "line 4 has 1 channels"),
        ("own.ts", "@timeStamps true\n@data\n1:a\n", {}, "time stamps"),
        ("own.ts", "@classLabel true a\n@data\n1,inf:a\n1,2:b\n", {}, "line 3 holds infinity"),
        ("own.ts", "@classLabel true a\n@data\n1,2:a\n", {"window": 3}, "longer than recording 0"),
        ("own.csv", "who,t,a\n1,1,2\n", {}, "needs the column that says which series"),
        ("own.csv", "who,t,a\n1,1,2\n", {"id": "name"}, "id=name: .* has no such column"),
        ("own.csv", "who,k,a\n1,1,2\n1,2,2\n", {"id": "who", "target": "k"}, "column k changes"),
        ("own.csv", "who,k\n1,x\n", {"id": "who", "target": "k"}, "no column of numbers"),
        ("own.dat", "1", {}, "of no known kind"),
        ("own.npz", "", {}, "is cut off or not an .npz"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(
    build, tmp_path: Path, name: str, text: str, keys: Any, said: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        build("series", path=str(tmp_path / name), **keys).load()
    assert "\n" not in str(caught.value)


def test_an_archive_s_set_is_found_by_name_or_told(build, files: dict[str, str]) -> None:
    pool, _ = build("ucr", path=files["set"], name="own").read()
    assert len(pool) == 8
    with pytest.raises(UserError, match=r"own_TRAIN\.ts is missing in .*timeseriesclass.*AETL"):
        build("ucr", path=files["set"] + "no", name="own").read()
