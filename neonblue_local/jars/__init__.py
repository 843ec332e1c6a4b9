"""The Java archives of Kafka and Connect: the pinned list, and how they get here."""
