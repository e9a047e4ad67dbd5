"""One module per family; the file name is the family's name. See `genkit/family.py`."""
