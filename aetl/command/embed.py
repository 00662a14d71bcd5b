"""``aetl embed``."""

from __future__ import annotations

from aetl.command.predict import give, parser_of, prepare


def main(arguments: list[str]) -> int:
    """The features of new data: those that the arm's head sees, or of a layer of its network."""
    parser = parser_of("embed", main.__doc__)
    parser.add_argument("--layer", help="latent, encoder.0, ... (default: what the head sees)")
    options = parser.parse_intermixed_args(arguments)
    model, data = prepare(options)
    found = model.encode(data, layer=options.layer, layout=options.layout)
    give(found, options.output)
    return 0
