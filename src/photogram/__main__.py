"""``python -m photogram`` is the same as the command ``photogram``."""

from photogram.cli.main import main

if __name__ == "__main__":
    main()
