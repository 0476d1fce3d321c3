"""Programs that kill what they test."""
