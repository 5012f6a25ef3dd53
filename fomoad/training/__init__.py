"""Fits, thresholds, int8, and the order of a training."""
