/* SPDX-License-Identifier: GPL-2.0 */
/* A stand-in of NVIDIA's host driver for the lab: no NVIDIA hardware, no NVIDIA code, only the interfaces it shows.

   Each file calls only those above it:

   card.c    the physical cards: what they carry, and who has it open
   mig.c     MIG mode of a card, and its GPU instances
   types.c   the vGPU types, and where a card has room for one
   vgpu.c    a virtual function: VFIO device and the files $VF/nvidia/…
   gpu.c     a whole GPU: /proc/driver/nvidia/gpus/BDF, /dev/nvidiaN, unbindLock
   driver.c  the PCI driver `nvidia` */
#pragma once

#include <linux/kobject.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/vfio_pci_core.h>

#define UNIT_MB 4096
#define UNITS 4
#define PARAMS_SIZE 1024
#define GPU_INSTANCES 7

struct vgpu_type {
	u32 id;
	const char *name;
	unsigned int units; /* of framebuffer; also what its placement is a multiple of. 0: it takes a GPU instance */
	u32 profile;        /* of that GPU instance, as NVML numbers them */
};

struct gpu_instance {
	u32 id, profile;
};

struct card {
	struct kobject kobj; /* /sys/module/nvidia_standin/cards/BDF */
	struct list_head all;
	struct mutex lock; /* all of the below and the vGPU fields of its functions */
	struct list_head vfs;
	bool mixed, mig;
	unsigned int instance_count;
	struct gpu_instance instances[GPU_INSTANCES];
};

struct vf {
	struct vfio_pci_core_device core; /* must come first */
	struct card *card;
	struct list_head sibling;
	const struct vgpu_type *type; /* NULL: no vGPU */
	unsigned int place; /* the first unit of framebuffer, or the id of its GPU instance */
	bool open;
	char params[PARAMS_SIZE];
};

int cards_begin(const struct attribute_group **files);
void cards_end(void);
struct card *card_get(struct pci_dev *pf);
struct card *card_of(struct kobject *kobj);
unsigned int card_vgpus(struct card *card); /* under its lock */
bool card_in_use(struct card *card);
void card_wipe(struct card *card);
void vf_clear(struct vf *vf); /* under the card's lock */
extern const struct attribute_group card_group;

int mig_place(struct card *card, const struct vgpu_type *type); /* under the card's lock */
extern const struct attribute_group mig_group;

extern const struct vgpu_type vgpu_types[];
extern const unsigned int vgpu_type_count;
int type_place(struct card *card, const struct vgpu_type *type); /* vf.place, or why not; under the card's lock */
extern const struct attribute_group types_group;

int vgpu_probe(struct pci_dev *pdev);
void vgpu_remove(struct pci_dev *pdev);

int gpus_begin(void);
void gpus_end(void);
int gpu_probe(struct pci_dev *pdev);
void gpu_remove(struct pci_dev *pdev);
