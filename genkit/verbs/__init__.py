"""What genkit does, one file per verb: each puts the parts together for one arrow."""
