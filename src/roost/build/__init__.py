"""From source to image: detect, build, and the image store."""
