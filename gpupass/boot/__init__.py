"""What a host does at its next boot: the texts of the files that say so, and the plans to write them."""
