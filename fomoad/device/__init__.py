"""What a model asks of a device."""
