"""What a finished cell has trained, written for other libraries."""
