/* The part of NVIDIA's nvml.h that the double speaks: codes, and structs by their layout on x86-64. */
#pragma once

#define API __attribute__((visibility("default")))

enum {
    SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9, TIMEOUT = 10, LIBRARY_NOT_FOUND = 12, FUNCTION_NOT_FOUND = 13,
    GPU_IS_LOST = 15, RESET_REQUIRED = 16, LIB_RM_VERSION_MISMATCH = 18, IN_USE = 19, MEMORY = 20,
    INSUFFICIENT_RESOURCES = 23, ARGUMENT_VERSION_MISMATCH = 25, INVALID_STATE = 29, UNKNOWN = 999,
};

typedef struct handle *handle; /* never followed */
typedef unsigned long long u64;

struct memory { u64 total, free, used; };
struct memory_v2 { unsigned version; u64 total, reserved, free, used; };
struct pci_info { char legacy[16]; unsigned domain, bus, device, pci_id, subsystem; char address[32]; };
struct process_info { unsigned pid; u64 memory; unsigned gi, ci; };
struct gi_profile_info { unsigned id, p2p, slices, most, sms, copy, decoders, encoders, jpeg, ofa; u64 memory; };
struct gi_profile_info_v2 {
    unsigned version, id, p2p, slices, most, sms, copy, decoders, encoders, jpeg, ofa;
    u64 memory;
    char name[96];
};
struct gi_info { handle device; unsigned id, profile, start, size; };
struct ci_profile_info { unsigned id, slices, most, sms, copy, decoders, encoders, jpeg, ofa; };
struct ci_profile_info_v2 { unsigned version; struct ci_profile_info v1; char name[96]; };
struct ci_info { handle device, gi; unsigned id, profile, start, size; };
struct attributes { unsigned sms, copy, decoders, encoders, jpeg, ofa, gi_slices, ci_slices; u64 memory; };

_Static_assert(sizeof(struct memory_v2) == 40 && sizeof(struct pci_info) == 68, "nvml.h");
_Static_assert(sizeof(struct process_info) == 24 && sizeof(struct gi_profile_info) == 48, "nvml.h");
_Static_assert(sizeof(struct gi_profile_info_v2) == 152 && sizeof(struct gi_info) == 24, "nvml.h");
_Static_assert(sizeof(struct ci_profile_info) == 36 && sizeof(struct ci_profile_info_v2) == 136, "nvml.h");
_Static_assert(sizeof(struct ci_info) == 32 && sizeof(struct attributes) == 40, "nvml.h");
