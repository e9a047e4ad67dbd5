"""`python -m genkit`: the same as `genkit`."""

from genkit.cli import main

if __name__ == "__main__":
    main()
