"""What certified mail is, and nothing of archives: kinds, seals, certification data."""
