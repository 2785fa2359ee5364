"""All that is stored: its bytes (codec), its names (layout), the run journal and the catalogue of points."""
