"""Pages in one file, which load nothing and run nothing but their own script."""
