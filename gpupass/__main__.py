"""`python -m gpupass`."""

from gpupass.cli.main import main

if __name__ == "__main__":
    main()
