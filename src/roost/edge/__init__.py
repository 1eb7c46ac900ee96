"""Envoy: what it should serve (pure), the xDS server that tells it, the activator, and its process."""
