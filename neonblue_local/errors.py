"""What can go wrong on this machine: one type per cause, each with the way out in its message.

LocalError
├── SettingsError       a setting or the state folder is not usable
├── MissingTool         the machine lacks something that setup needs
├── DownloadError       a jar could not be fetched or is not the pinned one
├── PortTaken           another program listens on a port of this stack
├── DiskFull            too little free space to start
├── PartFailed          a part died or did not answer in time
├── BusyError           another command is at work on the same state folder
└── NotRunning          the command needs a running stack
"""


class LocalError(Exception):
    """Base of every error that the command line shows as one message and exit code 1."""


class SettingsError(LocalError):
    """A setting or the state folder cannot be used as it is."""


class MissingTool(LocalError):
    """A program or a library that is needed is not on this machine."""


class DownloadError(LocalError):
    """A jar could not be downloaded, or what came is not the pinned file."""


class PortTaken(LocalError):
    """Another program listens on a port that a part of this stack needs."""


class DiskFull(LocalError):
    """The disk of the state folder has too little free space to start."""


class PartFailed(LocalError):
    """A part ended while starting, or did not answer in time."""


class BusyError(LocalError):
    """Another neonblue command works on the same state folder."""


class NotRunning(LocalError):
    """The command needs a running stack, and none runs in this state folder."""
