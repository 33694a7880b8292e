"""First-party methods: each a package or module of its own, each a plug-in like anyone's. None imports another."""
