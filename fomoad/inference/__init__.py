"""Any model file as one function, and what is shown of its anomaly maps."""
