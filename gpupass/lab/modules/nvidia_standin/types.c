// SPDX-License-Identifier: GPL-2.0
/* The vGPU types, and where a card has room for one: in its framebuffer, equal or mixed sizes, or on a GPU instance. */
#include <linux/sysfs.h>

#include "standin.h"

const struct vgpu_type vgpu_types[] = {
	{ 468, "NVIDIA A100-4C", .units = 1 },
	{ 469, "NVIDIA A100-8C", .units = 2 },
	{ 471, "NVIDIA A100-16C", .units = 4 },
	{ 474, "NVIDIA A100-1-5C", .profile = 19 },
	{ 475, "NVIDIA A100-2-10C", .profile = 14 },
	{ 476, "NVIDIA A100-3-20C", .profile = 9 },
};
const unsigned int vgpu_type_count = ARRAY_SIZE(vgpu_types);

/* -EINVAL: another size than the card's others, or not in this mode; -ENOSPC: no room for it. */
int type_place(struct card *card, const struct vgpu_type *type)
{
	unsigned int taken = 0, mask = (1 << type->units) - 1, start;
	struct vf *vf;

	if (card->mig != !type->units)
		return -EINVAL;
	if (card->mig)
		return mig_place(card, type);
	list_for_each_entry(vf, &card->vfs, sibling) {
		if (!vf->type)
			continue;
		if (!card->mixed && vf->type->units != type->units)
			return -EINVAL;
		taken |= ((1 << vf->type->units) - 1) << vf->place;
	}
	for (start = 0; start + type->units <= UNITS; start += type->units)
		if (!(taken & mask << start))
			return start;
	return -ENOSPC;
}

/* Real cards are switched with `nvidia-smi vgpu -i N -shm 1`, or NVML's SetVgpuHeterogeneousMode. */
static ssize_t heterogeneous_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", card_of(kobj)->mixed);
}

static ssize_t heterogeneous_store(struct kobject *kobj, struct kobj_attribute *attr, const char *buf, size_t size)
{
	struct card *card = card_of(kobj);
	bool wanted;
	int error = kstrtobool(buf, &wanted);

	if (error)
		return error;
	mutex_lock(&card->lock);
	if (card->mig)
		error = -EOPNOTSUPP;
	else if (card_vgpus(card))
		error = -EBUSY;
	else
		card->mixed = wanted;
	mutex_unlock(&card->lock);
	return error ?: size;
}

static struct kobj_attribute heterogeneous_attr = __ATTR_RW(heterogeneous);

static struct attribute *types_attrs[] = {
	&heterogeneous_attr.attr,
	NULL,
};

const struct attribute_group types_group = { .attrs = types_attrs };
