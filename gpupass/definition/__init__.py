"""A domain's persistent definition, made able to take devices while it runs; pure but for its one step."""
