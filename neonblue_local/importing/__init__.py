"""What `neonblue import` reads and how it becomes requests; the command is neonblue_local/commands/import_.py."""
