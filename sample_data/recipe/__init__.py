"""Parts of the recipe for the sample history."""
