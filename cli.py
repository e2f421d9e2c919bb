"""``python cli.py …``: hands over to ``galaxymorph.cli``."""

from galaxymorph.cli import main

if __name__ == "__main__":
    main()
