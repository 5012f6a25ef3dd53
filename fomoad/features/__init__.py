"""Images to a grid of feature vectors: computed, pooled and stored."""
