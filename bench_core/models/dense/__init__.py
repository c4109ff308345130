"""Steerable layers in plain torch: the same functions of the same weights as escnn's, with less work and less memory.

What is different, and why it is faster:

- a filter is expanded block by block (`expansion`), not from a basis that is padded with zeros to whole fields;
- both views go through a layer together, so that its filter is expanded once; batch-norm statistics stay per view;
- normalisation and nonlinearity are one operation (`activation`) that keeps only its input for the backward pass;
- a convolution can expand its filter again in the backward pass instead of keeping it (`recompute`).
"""
