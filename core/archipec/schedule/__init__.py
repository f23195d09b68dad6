"""Has the system run archipec by itself: a systemd user timer, a launchd agent, a task of Windows, a line for cron."""
