"""The nouns of Roost: frozen values and their legal state changes. Pure: no I/O, no clock, no randomness."""
