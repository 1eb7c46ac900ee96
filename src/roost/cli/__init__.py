"""`roost`, the command line. It knows the SDK and the nouns, nothing of the cloud's inside."""
