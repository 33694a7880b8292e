"""What ``import dynvit`` offers, and what the command line calls."""
