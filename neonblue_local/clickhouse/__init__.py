"""The embedded ClickHouse: the chDB engine in one process behind the ordinary ClickHouse HTTP interface.

    NEONBLUE_CLICKHOUSE_USER=… NEONBLUE_CLICKHOUSE_PASSWORD=… python -m neonblue_local.clickhouse --path DIR --port N

`errors` the one error type and its HTTP status · `sql_text` what a statement is, without parsing SQL ·
`engine` the engine's life and one handle a request · `sessions` state that outlives a request ·
`execution` one statement in a worker thread · `protocol` parameters, credentials, headers · `bodies` bodies in and out,
compression · `streams` pipe and ASGI messages · `app` the ASGI application.
"""
