"""Which made defects a scorer finds, and how small they may be."""
