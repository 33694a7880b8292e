"""What an author begins with: the files that ``dynvit new`` writes."""
