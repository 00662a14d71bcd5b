"""The data sets, their shifts and splits, and the batches made of them."""
