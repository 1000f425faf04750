"""Run the command line as ``python -m mnemos.cli``."""

from mnemos.cli.main import main

if __name__ == "__main__":
    main()
