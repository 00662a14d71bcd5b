"""aetl: pretrain an autoencoder on a source, transfer it to a target, and say whether it helped."""

__version__ = "0.1.0"
