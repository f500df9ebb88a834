"""REST: one file per resource. Paths match in any case and with a trailing slash, as in Express."""
