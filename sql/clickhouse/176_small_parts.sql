-- 176_small_parts.sql (ClickHouse): fewer files for what gets a part with every block of the stream
-- Grain:  settings of the same tables as in 175
-- From:   120, 130, 140, 142, 170        To: parts from now on
-- Rerun:  safe
-- Four to six blocks a second make three parts each, and a file system has its price for every file: 38 -> 33 a block. Marks of columns
-- instead of their streams leave out one file; no sparse columns, and text in one stream with its lengths, another. Events and
-- landing keep the latter: properties would be 3 % larger.
alter table events_rows modify setting write_marks_for_substreams_in_compact_parts = 0;

alter table landing_rows modify setting write_marks_for_substreams_in_compact_parts = 0;

alter table assignments_rows
    modify setting write_marks_for_substreams_in_compact_parts = 0, ratio_of_defaults_for_sparse_serialization = 1, serialization_info_version = 'basic';

alter table variant_sightings
    modify setting write_marks_for_substreams_in_compact_parts = 0, ratio_of_defaults_for_sparse_serialization = 1, serialization_info_version = 'basic';

alter table dirty_days
    modify setting write_marks_for_substreams_in_compact_parts = 0, ratio_of_defaults_for_sparse_serialization = 1, serialization_info_version = 'basic';

alter table dirty_assignments
    modify setting write_marks_for_substreams_in_compact_parts = 0, ratio_of_defaults_for_sparse_serialization = 1, serialization_info_version = 'basic';
