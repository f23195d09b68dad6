"""REM, the European registered mail that PEC becomes (ETSI EN 319 522 and 319 532, AgID's REM-Policy-IT)."""
