"""Figures of scores, labels and masks: pure functions of arrays, used by training and evaluation alike."""
