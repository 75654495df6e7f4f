"""(Host, what is wanted) → Plan; pure."""
