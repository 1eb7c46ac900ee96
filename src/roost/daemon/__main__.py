"""`python -m roost.daemon`: see commands.py."""

import os
import sys

if __name__ == "__main__":
    try:
        from roost.daemon.commands import main
    except KeyboardInterrupt:  # while the program was being loaded
        os._exit(130)
    sys.exit(main())
