"""The commands of ``ncg-fast``: ``run`` of the module of that name takes the parsed arguments."""
