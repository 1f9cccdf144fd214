"""`python -m addons.cli`."""

from addons.cli import main

main()
