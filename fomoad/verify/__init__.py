"""Files that nobody vouches for: checked before any runtime reads them, or held to a signed list."""
