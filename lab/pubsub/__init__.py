"""Google's Pub/Sub emulator with the permissions that it lacks."""
