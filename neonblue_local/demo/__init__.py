"""The demo: 90,189 real players travel the whole way and come out as a decision. See ORIGIN.md for the data."""
