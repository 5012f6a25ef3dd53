"""Images and labels in: folders of photos and data directories, validated."""
