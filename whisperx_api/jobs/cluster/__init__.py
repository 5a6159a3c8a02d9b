"""Jobs of several hosts: servers that take them in, and workers that run them, on one PostgreSQL."""
