"""Scoring functions: how unlike the training images' features a feature vector is, one file each."""
