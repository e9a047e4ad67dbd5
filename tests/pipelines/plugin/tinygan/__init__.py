"""Another package that offers a family to genkit."""
