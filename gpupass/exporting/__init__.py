"""What a host gives to guests, in the files by which others hand it out; pure."""
