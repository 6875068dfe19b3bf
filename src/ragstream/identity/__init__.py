"""Who asks: API keys, local mode, allowed hosts and origins."""
