"""Cut, hand out and take back the GPUs of a KVM host."""

__version__ = "0.1.0"
