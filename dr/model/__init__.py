"""Pure nouns. Standard library only; every value is frozen; instants are aware UTC."""
