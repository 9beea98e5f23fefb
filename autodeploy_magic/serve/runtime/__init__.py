"""What runs a model's format. One file a format, named in `registry.RUNTIMES`."""
