"""Parse, call the app, render, exit code. Commands are loaded only when called."""
