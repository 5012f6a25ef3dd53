"""What a command has written, logged to MLflow afterwards. Nothing else of fomoad knows MLflow."""
