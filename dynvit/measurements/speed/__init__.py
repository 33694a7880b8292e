"""Time, memory and energy beside the dense backbone."""
