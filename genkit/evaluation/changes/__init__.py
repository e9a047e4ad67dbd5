"""What a model changed in a picture: attributes, regions, structure, nearness to the truth."""
