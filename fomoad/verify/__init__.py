"""Model files that nobody vouches for: what they hold is checked before any runtime reads them. Needs NumPy only."""
