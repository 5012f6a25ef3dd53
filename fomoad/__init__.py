"""An open learning block for visual anomaly detection: good images in, small models and a threshold out."""

__version__ = "0.1.0"
