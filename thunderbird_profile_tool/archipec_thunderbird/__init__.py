"""Makes Thunderbird trust the seals of certified mail. Stands alone: imports nothing of archipec."""
