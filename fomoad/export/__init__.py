"""Model formats, one a module; files are written whole or not at all."""
