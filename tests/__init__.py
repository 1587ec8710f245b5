"Tests that no notebook can hold. (This file makes `tests` ours: torch-fidelity installs a package of that name.)"
