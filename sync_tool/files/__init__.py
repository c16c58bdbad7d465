"""Files as places that messages are written to and read from: one module per format."""
