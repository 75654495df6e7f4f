// SPDX-License-Identifier: GPL-2.0
/* MIG: a card is cut in GPU instances, and each of them carries one vGPU.

   Real cards are told by NVML, which chooses ids and places; here its double keeps those and tells what is left of
   them. The profiles are those of a card with 40 GB. */
#include <linux/sysfs.h>

#include "standin.h"

static bool taken(struct card *card, u32 id)
{
	struct vf *vf;

	list_for_each_entry(vf, &card->vfs, sibling)
		if (vf->type && vf->place == id)
			return true;
	return false;
}

static struct gpu_instance *find(struct card *card, u32 id)
{
	unsigned int n;

	for (n = 0; n < card->instance_count; n++)
		if (card->instances[n].id == id)
			return &card->instances[n];
	return NULL;
}

int mig_place(struct card *card, const struct vgpu_type *type)
{
	unsigned int n;

	for (n = 0; n < card->instance_count; n++)
		if (card->instances[n].profile == type->profile && !taken(card, card->instances[n].id))
			return card->instances[n].id;
	return -ENOSPC;
}

static ssize_t mig_mode_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", card_of(kobj)->mig);
}

/* -EBUSY: there is a vGPU; off, also while there are virtual functions. */
static ssize_t mig_mode_store(struct kobject *kobj, struct kobj_attribute *attr, const char *buf, size_t size)
{
	struct card *card = card_of(kobj);
	bool wanted;
	int error = kstrtobool(buf, &wanted);

	if (error)
		return error;
	mutex_lock(&card->lock);
	if (wanted != card->mig && (card_vgpus(card) || (!wanted && !list_empty(&card->vfs)))) {
		error = -EBUSY;
	} else if (wanted != card->mig) {
		card->mig = wanted;
		card->mixed = false;
		card->instance_count = 0;
	}
	mutex_unlock(&card->lock);
	return error ?: size;
}

static ssize_t gpu_instances_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct card *card = card_of(kobj);
	ssize_t length = 0;
	unsigned int n;

	mutex_lock(&card->lock);
	for (n = 0; n < card->instance_count; n++)
		length += sysfs_emit_at(buf, length, "%u %u\n", card->instances[n].id, card->instances[n].profile);
	mutex_unlock(&card->lock);
	return length;
}

static ssize_t create_gpu_instance_store(struct kobject *kobj, struct kobj_attribute *attr, const char *buf,
					 size_t size)
{
	struct card *card = card_of(kobj);
	struct gpu_instance new;
	int error = 0;

	if (sscanf(buf, "%u %u", &new.id, &new.profile) != 2 || new.id > S16_MAX)
		return -EINVAL;
	mutex_lock(&card->lock);
	if (!card->mig)
		error = -EOPNOTSUPP;
	else if (find(card, new.id))
		error = -EEXIST;
	else if (card->instance_count == GPU_INSTANCES)
		error = -ENOSPC;
	else
		card->instances[card->instance_count++] = new;
	mutex_unlock(&card->lock);
	return error ?: size;
}

static ssize_t destroy_gpu_instance_store(struct kobject *kobj, struct kobj_attribute *attr, const char *buf,
					  size_t size)
{
	struct card *card = card_of(kobj);
	struct gpu_instance *old;
	u32 id;
	int error = kstrtou32(buf, 10, &id);

	if (error)
		return error;
	mutex_lock(&card->lock);
	old = find(card, id);
	if (!old)
		error = -ENOENT;
	else if (taken(card, id))
		error = -EBUSY;
	else
		*old = card->instances[--card->instance_count];
	mutex_unlock(&card->lock);
	return error ?: size;
}

static struct kobj_attribute mig_mode_attr = __ATTR_RW(mig_mode);
static struct kobj_attribute gpu_instances_attr = __ATTR_RO(gpu_instances);
static struct kobj_attribute create_gpu_instance_attr = __ATTR_WO(create_gpu_instance);
static struct kobj_attribute destroy_gpu_instance_attr = __ATTR_WO(destroy_gpu_instance);

static struct attribute *mig_attrs[] = {
	&mig_mode_attr.attr,
	&gpu_instances_attr.attr,
	&create_gpu_instance_attr.attr,
	&destroy_gpu_instance_attr.attr,
	NULL,
};

const struct attribute_group mig_group = { .attrs = mig_attrs };
