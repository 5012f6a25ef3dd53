"""Which model finds most within a device's limits: many settings tried, on as many machines as there are."""
