"""Language models: the client, its providers and the policy between attempts."""
