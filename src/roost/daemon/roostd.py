"""`python -m roost.daemon.roostd`: the process of the control plane (composition.py)."""

import gc

if __name__ == "__main__":
    gc.disable()  # nothing that modules make is garbage, and looking again and again takes a sixth of the start
    from roost.daemon.composition import leave, main

    leave(main())
