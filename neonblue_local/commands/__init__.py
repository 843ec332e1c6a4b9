"""The command line, one file per group of commands; neonblue_local.cli assembles them."""
