"""Generated inputs are the same in every run, but for a run at full depth: what fails here fails there."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("seeded", derandomize=True, deadline=None)
settings.register_profile("full", deadline=None)
settings.load_profile("full" if os.environ.get("ARCHIPEC_DEPTH") == "full" else "seeded")
