"""The commands, one module each: `HELP`, `declare` its arguments, `run` it. Heavy imports come inside `run`."""
