"""Real servers on loopback for tests and benchmarks: nothing here is part of archipec itself."""
