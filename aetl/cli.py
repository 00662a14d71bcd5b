"""The command line. Nothing heavy is imported until a command needs it."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import sys
import threading
from collections.abc import Iterator, Sequence

from aetl.command import verbs
from aetl.printable import one_line
from aetl.terminal import let_go, open_streams, watched
from aetl.trust import paths, search
from aetl.version import __version__

HELP = """\
aetl: pretrain an autoencoder on a source, transfer it to a target, see whether it helped.

  aetl [KEY=VALUE ...]            one run: pretrain, transfer, evaluate, report
  aetl -m [KEY=A,B ...]           a multirun: every combination, in parallel processes
  aetl check [KEY=VALUE ...]      compose, build everything, one step of each stage
  aetl guide [NAME]               what one should know, from the first question on
  aetl ls [GROUP[/NAME] | PATH]   the options of a config group, one in full, or runs in a folder
  aetl show RUN                   a run's record
  aetl diff RUN RUN               what differs between two runs
  aetl rank target=T sources=[S]  which stored encoder and layer suits a target, untrained
  aetl compare PATH ...           arms x budgets: mean, interval, gain, verdict
  aetl report PATH                one self-contained HTML page
  aetl best PATH ...              the arm to take, by labels that were held out for it
  aetl predict RUN [DATA] [-o F]  what its arm predicts for images, a folder, an .npz, a data set
  aetl embed RUN [DATA] [-o F]    the features of the same
  aetl export RUN [--format F]    its model as ONNX, torch.export or safetensors, compared
  aetl archive RUN|SWEEP|FILE.zip one file that a colleague can use, and a folder again
  aetl generate RUN               samples, interpolations and traversals of its autoencoder
  aetl rerun RUN|SWEEP [--check]  again from saved configs; --check compares the scores
  aetl sweep status|resume|retry DIR
  aetl rm RUN|SWEEP               remove it; it asks first
  aetl store [prune|verify]       what the store holds; remove what is long unused; is it whole
  aetl new KIND NAME [--dir D]    class, option and test of a variant of your own, to begin with
  aetl completion bash|zsh|fish   a script that makes the shell complete all of this

Options of a run: --config-dir DIR (your own variants), --cfg job (print the config), --debug.
Every command answers --help. Config groups: aetl ls.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; a user's mistake is one line on stderr and exit code 2."""
    if argv is None:
        # The process ends with us: to look through all that torch has made would take 1.5 s.
        atexit.register(gc.freeze)
    open_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    from aetl.ending import signals_as_exceptions, told

    try:
        with signals_as_exceptions():
            code = _command(arguments)
            sys.stdout.flush()
            return code
    except BrokenPipeError:
        return 1
    except (Exception, KeyboardInterrupt) as error:
        if debug and isinstance(error, Exception):
            raise
        line, code = told(error)
        print(f"aetl: {one_line(line)}", file=sys.stderr)
        return code
    finally:
        let_go()


def _command(arguments: list[str]) -> int:
    if arguments and arguments[0] in ("--version", "-V", "version"):
        print(f"aetl {__version__}")
        return 0
    if arguments and arguments[0] in ("--help", "-h", "help"):
        print(HELP, end="")
        return 0
    try:
        os.getcwd()
    except FileNotFoundError:
        print("aetl: the current folder is gone: cd to another one", file=sys.stderr)
        return 2
    search(paths())
    if arguments and arguments[0] in verbs():
        command = importlib.import_module(f"aetl.command.{arguments[0]}")
        return int(command.main(arguments[1:]))
    if arguments and "=" not in arguments[0] and not arguments[0].startswith(("-", "+", "~")):
        from aetl.mistakes import no_command

        known = [verb for verb in verbs() if not verb.startswith("_")]
        print(f"aetl: {one_line(no_command(arguments, known))}", file=sys.stderr)
        return 2
    return _run(arguments)


def _run(arguments: list[str]) -> int:
    with _starting():
        from aetl.launch import run_hydra

        if os.environ.get("WANDB_SWEEP_ID"):
            from aetl.tracking.agent import agent_arguments

            arguments = agent_arguments(arguments)
        return run_hydra(arguments)


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """A first line within a second: what a run is made of takes longer to load.

    In a pipe it waits for most of that second, so that a mistake found until then stays one line.
    """
    wait = 0.0 if watched() else 0.8
    timer = threading.Timer(wait, print, ["aetl: starting"], {"file": sys.stderr, "flush": True})
    timer.daemon = True
    if "torch" not in sys.modules:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


if __name__ == "__main__":
    sys.exit(main())
