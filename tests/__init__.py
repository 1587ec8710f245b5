"""Tests that no notebook can hold. (This file makes `tests` ours: torch-fidelity installs a package of that
name.)
"""

import signal


def hear() -> None:
    """For `preexec_fn`: listen to Control-C, which shells have their background jobs, and what those start,
    ignore
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
