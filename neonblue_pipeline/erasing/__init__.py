"""Forgetting people: what sql/postgres/062 records is carried through every store, step by step. No Dagster.

steps       which steps there are, in which order, and what is recorded of each
facts       PostgreSQL: facts, outbox, then every page and every file of the write-ahead log that held them
topic       Kafka: records deleted up to what is proven to have landed
analytics   ClickHouse: rows, rollups, results, and the files behind them
windows     the ledger, which changes by the person's share on both sides
again       a restored backup: whoever is in the ledger of erasures is erased once more
lock        nothing is sent again meanwhile
"""
