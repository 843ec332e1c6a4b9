"""The way in: HTTP routes that accept facts into PostgreSQL and read results from ClickHouse. No pipeline code."""
