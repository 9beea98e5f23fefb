"""Ways to make a model faster, smaller or better; one file each, named in `registry.OPTIMISERS`."""
