"""What commands do, without a terminal: requests in, events out."""
