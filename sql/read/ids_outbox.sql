-- ids_outbox.sql (PostgreSQL): every row that has to reach ClickHouse
-- Grain:  outbox row; parameters start, until (created_at). digest: of the whole row, as ids_landing writes it
select aggregate_type, created_at, id::text as id,
       ('x' || left(md5(concat(id, E'\x1f', aggregate_id, E'\x1f', event_type, E'\x1f', partition_key, E'\x1f', payload)), 16))::bit(64)::bigint as digest
from outbox_log
where created_at >= %(start)s and created_at < %(until)s
