// SPDX-License-Identifier: GPL-2.0
/* One physical card: how its framebuffer is shared among the vGPUs of its virtual functions. */
#include <linux/module.h>
#include <linux/slab.h>
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

static LIST_HEAD(cards);
static DEFINE_MUTEX(cards_lock);
static struct kobject *cards_folder;

struct card *card_of(struct kobject *kobj)
{
	return container_of(kobj, struct card, kobj);
}

static unsigned int count(struct card *card, bool only_open)
{
	unsigned int found = 0;
	struct vf *vf;

	list_for_each_entry(vf, &card->vfs, sibling)
		found += only_open ? vf->open : vf->type != NULL;
	return found;
}

unsigned int card_vgpus(struct card *card)
{
	return count(card, false);
}

/* -EINVAL: another size than the card's others, or not in this mode; -ENOSPC: no room for it. */
int card_place(struct card *card, const struct vgpu_type *type)
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

bool card_in_use(struct card *card)
{
	bool used;

	mutex_lock(&card->lock);
	used = count(card, true);
	mutex_unlock(&card->lock);
	return used;
}

/* What is lost when the driver lets go of the physical function; MIG mode is not, before Hopper. */
void card_wipe(struct card *card)
{
	struct vf *vf;

	mutex_lock(&card->lock);
	card->mixed = false;
	card->instance_count = 0;
	list_for_each_entry(vf, &card->vfs, sibling)
		if (!vf->open)
			vf_clear(vf);
	mutex_unlock(&card->lock);
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
	else if (count(card, false))
		error = -EBUSY;
	else
		card->mixed = wanted;
	mutex_unlock(&card->lock);
	return error ?: size;
}

static ssize_t vgpus_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct card *card = card_of(kobj);
	unsigned int found;

	mutex_lock(&card->lock);
	found = count(card, false);
	mutex_unlock(&card->lock);
	return sysfs_emit(buf, "%u\n", found);
}

static ssize_t open_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct card *card = card_of(kobj);
	unsigned int found;

	mutex_lock(&card->lock);
	found = count(card, true);
	mutex_unlock(&card->lock);
	return sysfs_emit(buf, "%u\n", found);
}

static struct kobj_attribute heterogeneous_attr = __ATTR_RW(heterogeneous);
static struct kobj_attribute vgpus_attr = __ATTR_RO(vgpus);
static struct kobj_attribute open_attr = __ATTR_RO(open);

static struct attribute *card_attrs[] = {
	&heterogeneous_attr.attr,
	&vgpus_attr.attr,
	&open_attr.attr,
	NULL,
};

static const struct attribute_group card_group = { .attrs = card_attrs };

static const struct attribute_group *card_groups[] = {
	&card_group,
	&mig_group,
	NULL,
};

static void card_release(struct kobject *kobj)
{
	struct card *card = card_of(kobj);

	mutex_destroy(&card->lock);
	kfree(card);
}

static const struct kobj_type card_ktype = {
	.sysfs_ops = &kobj_sysfs_ops,
	.release = card_release,
	.default_groups = card_groups,
};

/* The card a function belongs to; there until the module goes, as its InfoROM. */
struct card *card_get(struct pci_dev *pf)
{
	struct card *card;
	int error;

	mutex_lock(&cards_lock);
	list_for_each_entry(card, &cards, all) {
		if (!strcmp(kobject_name(&card->kobj), pci_name(pf)))
			goto out;
	}
	card = kzalloc(sizeof(*card), GFP_KERNEL);
	if (!card) {
		card = ERR_PTR(-ENOMEM);
		goto out;
	}
	mutex_init(&card->lock);
	INIT_LIST_HEAD(&card->vfs);
	error = kobject_init_and_add(&card->kobj, &card_ktype, cards_folder, "%s", pci_name(pf));
	if (error) {
		kobject_put(&card->kobj);
		card = ERR_PTR(error);
		goto out;
	}
	list_add(&card->all, &cards);
out:
	mutex_unlock(&cards_lock);
	return card;
}

int cards_begin(void)
{
	cards_folder = kobject_create_and_add("cards", &THIS_MODULE->mkobj.kobj);
	return cards_folder ? 0 : -ENOMEM;
}

void cards_end(void)
{
	struct card *card, *next;

	list_for_each_entry_safe(card, next, &cards, all) {
		list_del(&card->all);
		kobject_del(&card->kobj);
		kobject_put(&card->kobj);
	}
	kobject_put(cards_folder);
}
