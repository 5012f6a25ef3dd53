"""What a model needs on a device."""
