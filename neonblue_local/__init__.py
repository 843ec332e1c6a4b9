"""The same real parts on one machine, without Docker: PostgreSQL, Kafka, Connect, ClickHouse, API and Dagster.

It holds no business logic: it prepares, starts, asks and stops processes that others define.
"""
