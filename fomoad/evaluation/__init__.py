"""Scores and labels to figures and a report."""
