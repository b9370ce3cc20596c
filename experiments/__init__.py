"""Measurements that take longer than a notebook may: code beside the tables of recorded rows."""
