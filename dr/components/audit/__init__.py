"""The audit log: entries that a sink puts on a Pub/Sub topic, kept in a change log in the vault."""
