"""The run of a pipeline: from its source into its sinks, every message once."""
