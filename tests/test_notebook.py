"""A notebook that goes the whole way, executed by a kernel."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.model.runs import images
from tests.tiny import MLP, SMALL

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CELLS = (
    "import aetl\nfound = aetl.sweep([*quick, 'transfer=control/scratch,parameter/finetune', "
    "'seed=0,1'], folder=f'{place}/sweep')\nfound",
    "table = found.compare()\nframe = table.to_pandas()\nassert len(frame) == 2\ntable",
    "%matplotlib inline\nframe.plot.bar(x='transfer', y='mean')",
    "best = found.best()[0]\nmodel = aetl.load(best.run)\nmodel",
    "features = model.encode(f'{place}/images')\nassert len(features) == 8\nfeatures",
    "one = aetl.run([*quick, 'seed=7'])\nassert one.scores\none.folder",
)


def test_a_notebook_sweeps_compares_plots_loads_the_best_and_embeds(tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    images(tmp_path / "images", 4)
    quick = [*SMALL, *MLP, f"output_dir={tmp_path}/outputs", "selector=target_validation"]
    own = f"import sys\nsys.path[:0] = {sys.path!r}\nquick = {quick!r}\nplace = {str(tmp_path)!r}"
    cells = [nbformat.v4.new_code_cell(text) for text in (own, *CELLS)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = nbclient.NotebookClient(notebook, timeout=500, kernel_name="python3")
    client.execute(cwd=str(tmp_path))
    shown = [_outputs(cell) for cell in notebook.cells[1:]]
    assert "<table>" in shown[0]["text/html"]
    assert "parameter/finetune" in shown[1]["text/html"]
    assert "image/png" in shown[2]
    assert "takes" in shown[3]["text/html"]
    assert "8 rows" in shown[4]["text/html"]
    assert str(tmp_path / "outputs") in shown[5]["text/plain"]


def _outputs(cell: object) -> dict[str, str]:
    """What the cell shows, by its kind."""
    found: dict[str, str] = {}
    for output in cell.outputs:  # type: ignore[attr-defined]
        found |= dict(output.get("data", {}))
    return found
