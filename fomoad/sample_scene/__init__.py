"""A machined cover on a conveyor belt, drawn from code: part, defects, light and camera of the sample data."""
