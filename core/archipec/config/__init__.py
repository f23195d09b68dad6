"""From TOML or URLs to checked pipelines: endpoints, secrets, selection, prune policy, provider presets."""
