"""The control plane's state: the only place with SQL."""
