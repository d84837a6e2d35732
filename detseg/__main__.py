"""``python -m detseg`` is ``detseg``."""

from detseg.cli import main

if __name__ == "__main__":
    main()
