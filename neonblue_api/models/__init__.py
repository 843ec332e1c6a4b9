"""What requests and replies look like, as pydantic models; facts, which are decoded in bulk, are in *_input.py."""
