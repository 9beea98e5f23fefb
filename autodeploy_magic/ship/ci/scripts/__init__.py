"""What `ship ci` copies into the repository as it stands: scripts that hold no value, and use nothing but POSIX's shell
and Python's own library."""
