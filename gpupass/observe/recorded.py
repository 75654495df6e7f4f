"""Where a recorded host keeps what is no file of the kernel."""

DIRECTORY = "/gpupass"
ABOUT = f"{DIRECTORY}/about.json"
HOLDERS = f"{DIRECTORY}/holders.json"
NAMES = f"{DIRECTORY}/names.json"
NVML = f"{DIRECTORY}/nvml.json"
DOMAINS = f"{DIRECTORY}/domains.json"
DOMAIN_XML = f"{DIRECTORY}/domains"
