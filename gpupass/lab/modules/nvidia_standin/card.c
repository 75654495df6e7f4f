// SPDX-License-Identifier: GPL-2.0
/* The physical cards, and what each of them carries: virtual functions, their vGPUs, who has one open. */
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "standin.h"

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

void vf_clear(struct vf *vf)
{
	vf->type = NULL;
	vf->params[0] = '\0';
}

unsigned int card_vgpus(struct card *card)
{
	return count(card, false);
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

static struct kobj_attribute vgpus_attr = __ATTR_RO(vgpus);
static struct kobj_attribute open_attr = __ATTR_RO(open);

static struct attribute *card_attrs[] = {
	&vgpus_attr.attr,
	&open_attr.attr,
	NULL,
};

const struct attribute_group card_group = { .attrs = card_attrs };

static void card_release(struct kobject *kobj)
{
	struct card *card = card_of(kobj);

	mutex_destroy(&card->lock);
	kfree(card);
}

static struct kobj_type card_ktype = {
	.sysfs_ops = &kobj_sysfs_ops,
	.release = card_release,
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

/* `files`: what each card shows. The layers above this one have some, so the driver says which. */
int cards_begin(const struct attribute_group **files)
{
	card_ktype.default_groups = files;
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
