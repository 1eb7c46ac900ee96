"""HTTP: routes, authentication, error mapping and streams. A handler parses, calls control and replies."""
