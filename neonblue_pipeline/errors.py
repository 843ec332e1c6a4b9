"""What can go wrong in the pipeline. One type per cause, under one base.

PipelineError
├── SettingsMissing       a setting has no value
├── SchemaError           a SQL file cannot be applied
│   └── ChangedFile       a file that must not change was changed after it was applied
├── ConnectorError        the connector cannot be registered or does not run
├── RollupBusy            another process is building the rollups
├── HealthError           a canary did not come out at the other end
├── NotifyError           a service did not take the message of an alarm
├── ReplayError           what was asked to be sent again cannot be
├── RecoveryError         a part of the stream cannot be brought back by itself
├── ErasureHeld           a person cannot be erased yet
├── BackupError           a backup cannot be made, read or restored
├── AuditError            the audit log cannot be read, or is not what was asked about
└── JobFailed             a Dagster run of a command ended in failure
"""


class PipelineError(Exception):
    """Base of everything the pipeline raises on purpose."""


class SettingsMissing(PipelineError):
    """A setting has no value; there are no default servers."""


class SchemaError(PipelineError):
    """A SQL file cannot be applied."""


class ChangedFile(SchemaError):
    """A file that creates tables differs from what was applied under its name."""


class ConnectorError(PipelineError):
    """The connector cannot be registered, or its task does not run."""


class RollupBusy(PipelineError):
    """Another process is building the rollups."""


class HealthError(PipelineError):
    """A canary event did not come out at the other end."""


class NotifyError(PipelineError):
    """A service did not take the message of an alarm, or its URL names none."""


class ReplayError(PipelineError):
    """What was asked to be sent again cannot be."""


class RecoveryError(PipelineError):
    """A part of the stream cannot be brought back by itself."""


class ErasureHeld(PipelineError):
    """A step of an erasure cannot be done now; it is tried again. Never names the person."""


class BackupError(PipelineError):
    """A backup cannot be made, read or restored."""


class AuditError(PipelineError):
    """The audit log cannot be read, or is not what was asked about."""


class JobFailed(PipelineError):
    """A Dagster run started by a command ended in failure."""
