"""What the exporter costs, measured beside what people would use instead: `make bench`."""
