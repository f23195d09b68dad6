"""``python -m archipec``."""

from archipec.cli import main

main()
