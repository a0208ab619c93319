"""What works and what does not on this machine. Looking at it and judging what was seen are apart: facts, findings."""
