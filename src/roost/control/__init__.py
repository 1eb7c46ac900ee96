"""The verbs behind the API: what one can ask of a cloud, and the reconcilers that make it so."""
