"""A Firestore front over Google's emulator: data plane with identities, and the FirestoreAdmin that the emulator lacks."""
