"""Reports: finished records in, pages and tables out."""
