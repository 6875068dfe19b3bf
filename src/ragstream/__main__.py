"""``python -m ragstream`` is the command line."""

from ragstream.cli import main

if __name__ == "__main__":
    main()
