"""How a slot gets into a domain and back: prechecks, libvirt XML, and the steps that plug and unplug."""
