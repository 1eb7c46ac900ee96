"""`python -m roost.cli`."""

import os

if __name__ == "__main__":
    try:
        from roost.cli.main import main

        main()
    except KeyboardInterrupt:  # while the program was being loaded, which is a third of a second
        os._exit(130)
