"""Convolutional networks for pairs of views: tables of layers, and the modules built from them."""
