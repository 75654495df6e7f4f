"""An emulated GPU host for rehearsing and testing; stands beside the layers and imports only `errors`."""
