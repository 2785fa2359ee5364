"""The protected platform in small: its application, its world, its writers with their own record of what was acknowledged."""
