"""A plugin that makes every start of archipec slow, looks around, starts something, and talks."""

import os
import sqlite3
import threading

print("loading")
with open(os.devnull, "rb") as settings:
    SETTINGS = settings.read()
KEPT = sqlite3.connect(":memory:")
threading.Timer(0.2, KEPT.interrupt).start()
