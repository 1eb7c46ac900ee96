"""What a source directory is, and how it is built and started: pure reading of its files."""
