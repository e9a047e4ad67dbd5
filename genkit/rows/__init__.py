"""Rows: N things by index with named columns, beneath data, pipelines and evaluation."""
