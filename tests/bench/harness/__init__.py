"""The benchmark's harness: one file per tool in `tools/`, and the rounds, the large plans and the report around them."""
