"""After training: watch what a deployed model sees, review what it flagged, and correct it."""
