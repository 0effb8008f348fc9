"""Pure logic: what a checkpoint is made of and what a save has to write. No I/O."""
