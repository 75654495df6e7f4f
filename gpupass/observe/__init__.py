"""One reader per source; `observe(system)` gives a frozen Host."""
