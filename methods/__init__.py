"""First-party methods: each its own room, each a plug-in like anyone's. Nothing here imports another method."""
