"""One ordered map over tasks, in this process or on a cluster. Nothing else of fomoad knows the engine."""
