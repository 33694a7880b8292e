"""Records, the store that keeps them, the front they make, and how it is shown."""
