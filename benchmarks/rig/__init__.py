"""What the benchmarks stand on: a scripted upstream, a load client, the servers, and what is read of them."""
