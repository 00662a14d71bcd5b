"""``aetl generate``."""

from __future__ import annotations

from pathlib import Path

from aetl.arguments import Parser
from aetl.launch import saved_job
from aetl.trust import add_options, believe_options


def main(arguments: list[str]) -> int:
    """Images by a run's pretrained autoencoder, as figures and on the run's page."""
    parser = Parser("aetl generate", description=main.__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    parser.add_argument(
        "--encoder", metavar="raw|own|RUN",
        help="tell FID and KID of the samples by the features of this encoder: the values "
        "themselves, this run's autoencoder, or that of another run",
    )  # fmt: skip
    add_options(parser)
    options = parser.parse_args(arguments)
    believe_options(options)
    job = saved_job(options.run, options.run)
    from aetl.report.page import write_run_page
    from aetl.stage.generate import generate
    from aetl.stage.sampled import told_of

    judged = generate(job.cfg, options.run, options.seed, options.encoder)
    for name, found in judged.get("distances", {}).items():
        print(f"{name}: FID {found['fid']:.4g}, KID {found['kid']:.4g} ({told_of(judged)})")
    print(write_run_page(options.run))
    return 0
