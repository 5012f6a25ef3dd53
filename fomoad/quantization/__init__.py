"""Calibration and equalization of a folded network for int8."""
