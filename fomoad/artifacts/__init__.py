"""What a training leaves behind: one file a format, written whole or not at all."""
