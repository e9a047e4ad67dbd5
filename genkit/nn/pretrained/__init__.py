"""Networks whose weights somebody published: architecture, file, SHA-256 and loading."""
