"""The roads by which messages reach people; `base` says what one has to be."""
