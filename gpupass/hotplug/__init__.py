"""Slot to libvirt XML, prechecks, and the plans of attach, detach and move; pure."""
