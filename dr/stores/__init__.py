"""Places for objects: Cloud Storage, a local directory, memory; and wrappers around any of them."""
