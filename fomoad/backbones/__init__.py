"""Feature extractors: architectures, weights, and the folded graph."""
