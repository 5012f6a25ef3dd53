"""The public Python API: a detector, and what it says of images."""
