"""``python -m chinspect``: the command ``chinspect``, where it is not on the path."""

from chinspect.cli.app import main

if __name__ == "__main__":
    main()
