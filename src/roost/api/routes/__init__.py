"""The routes, one module per noun. A handler parses, calls control and replies."""
