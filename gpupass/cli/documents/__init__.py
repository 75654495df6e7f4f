"""What --json prints, one class for each document; `gpupass schema` tells them as JSON Schema."""
