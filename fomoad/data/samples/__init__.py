"""Photos of a machined part, good and defective, made by code."""
