"""The application: wiring (`core`) and one module for each kind of work that the command line asks for."""
